import { Command, InvalidArgumentError } from 'commander';
import { ERRORS, type ExitCode, WorkcellError } from '../../core/errors.ts';
import type { ToolMethod } from '../../core/tool.ts';
import { printable } from '../../util/printable.ts';
import type { ToolsLeftOut } from '../../workcell/sync-server.ts';
import type { ServerReport } from '../../workcell/upstream-tools.ts';
import { openCell } from '../open-cell.ts';
import { parseCount } from '../option-values.ts';
import { print, printJson, say, table } from '../output.ts';

/** The part of `workcell tools` that is about the servers: how they are, what they wrote, what else they publish. */
export function serverCommands(done: (code: ExitCode) => void): readonly Command[] {
  return [statusCommand(done), approveCommand(), logsCommand(), resourcesCommand(), promptsCommand()];
}

/** What of a server cannot be called, a line each. */
export function leftOutLines({ filtered, unmatched, quarantined }: ToolsLeftOut): readonly string[] {
  return [
    ...(filtered.length > 0 ? [`left out by its filter: ${filtered.join(', ')}`] : []),
    ...unmatched.map((pattern) => `warning: "${pattern}" in allowedTools or excludeTools matches no tool`),
    ...(quarantined.length > 0 ? [`in quarantine: ${quarantined.join(', ')}; see: workcell tools approve --help`] : []),
  ].map(printable);
}

function statusCommand(done: (code: ExitCode) => void): Command {
  return new Command('status')
    .description('ask the configured MCP servers how they are; writes nothing')
    .argument('[servers...]')
    .option('--json', 'print the reports as JSON')
    .action(async (servers: string[], options: { json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const reports = await cell.serverStatus(servers.length === 0 ? undefined : servers);
      if (options.json === true)
        printJson(reports.map((report) => (report.ok ? report : { ...report, error: report.error.toJSON() })));
      else for (const report of reports) print(describe(report));
      const failed = reports.find((report) => !report.ok);
      if (failed !== undefined) done(ERRORS[failed.error.code].exit);
    });
}

function describe(report: ServerReport): string {
  const { server, state, breaker } = report;
  if (report.ok) return [`${server}: ${state}, ${report.tools} tools`, ...leftOutLines(report)].join('\n  ');
  const stderr = `what it wrote to stderr: workcell tools logs ${server}`;
  return [printable(`${server}: ${state}, breaker ${breaker}: ${report.error.message}`), stderr].join('\n  ');
}

function approveCommand(): Command {
  return new Command('approve')
    .description('take what is new or changed out of quarantine, as it is now')
    .argument('<name>', 'a server, or one tool as SERVER.TOOL')
    .option('--json', 'print the names of the approved tools as JSON')
    .addHelpText(
      'after',
      '\nSee what it is before: workcell tools list. Example:\n  workcell tools approve github.search_code',
    )
    .action(async (name: string, options: { json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const approved = await cell.approveTools(name);
      if (options.json === true) printJson(approved);
      else say(approved.length === 0 ? 'Nothing is in quarantine' : `Approved: ${approved.join(', ')}`);
    });
}

function logsCommand(): Command {
  return new Command('logs')
    .description('what the process of an MCP server wrote to stderr')
    .argument('<server>')
    .option('--customer <id>', "of this customer's process, where each has its own")
    .option('-n, --lines <n>', 'how many of the last lines', parseCount, 100)
    .action(async (server: string, options: { customer?: string; lines: number }, command: Command) => {
      await using cell = await openCell(command);
      const log = await cell.serverLog(server, options);
      if (log === undefined) say(`There is no log of ${server}: it has not been started, or it is no process`);
      else print(log);
    });
}

interface CallFlags {
  readonly customer?: string;
  readonly json?: true;
}

function resourcesCommand(): Command {
  return new Command('resources')
    .description('the resources that an MCP server publishes, or the contents of one')
    .argument('<server>')
    .argument('[uri]')
    .option('--customer <id>', 'with the connection of this customer')
    .option('--json', 'print the answer as JSON')
    .action(async (server: string, uri: string | undefined, flags: CallFlags, command: Command) => {
      if (uri === undefined) {
        const value = await call(command, flags, server, 'list_resources', 'resources/list', {});
        const { resources = [], templates = [] } = value as Record<string, readonly Entry[] | undefined>;
        const rows = [...resources, ...templates].map((entry) => [
          entry.uri ?? entry.uriTemplate ?? '',
          entry.title ?? entry.name ?? '',
        ]);
        return flags.json === true ? printJson(value) : print(table(rows));
      }
      const value = await call(command, flags, server, 'read_resource', 'resources/read', { uri });
      const { contents } = value as { contents: readonly { text?: string; blob?: string }[] };
      if (flags.json === true) printJson(value);
      else for (const { text, blob } of contents) print(text ?? blob ?? '');
    });
}

function promptsCommand(): Command {
  return new Command('prompts')
    .description('the prompts that an MCP server publishes, or one of them, filled in')
    .argument('<server>')
    .argument('[name]')
    .option('--arg <key=value>', 'an argument of the prompt; can be repeated', addArgument, {})
    .option('--customer <id>', 'with the connection of this customer')
    .option('--json', 'print the answer as JSON')
    .action(
      async (
        server: string,
        name: string | undefined,
        flags: CallFlags & { arg: Readonly<Record<string, string>> },
        command: Command,
      ) => {
        if (name === undefined) {
          const value = await call(command, flags, server, 'list_prompts', 'prompts/list', {});
          const { prompts } = value as { prompts: readonly Entry[] };
          const rows = prompts.map((prompt) => [prompt.name ?? '', prompt.description ?? '']);
          return flags.json === true ? printJson(value) : print(table(rows));
        }
        const value = await call(command, flags, server, 'get_prompt', 'prompts/get', { name, arguments: flags.arg });
        printJson(value);
      },
    );
}

interface Entry {
  readonly uri?: string;
  readonly uriTemplate?: string;
  readonly name?: string;
  readonly title?: string;
  readonly description?: string;
}

async function call(
  command: Command,
  { customer }: CallFlags,
  server: string,
  tool: string,
  method: ToolMethod,
  args: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  await using cell = await openCell(command);
  const outcome = await cell.callServer({ server, tool, method, arguments: args, customer });
  if (outcome.ok) return outcome.value;
  const { code, message } = outcome.error;
  throw new WorkcellError(code === 'not_allowed' ? 'forbidden' : 'upstream_unavailable', message, {
    details: { code },
  });
}

function addArgument(text: string, all: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const [key = '', ...value] = text.split('=');
  if (key === '' || value.length === 0) throw new InvalidArgumentError('Write it as key=value.');
  return { ...all, [key]: value.join('=') };
}
