import { Command, Option } from 'commander';
import { ERRORS, type ExitCode } from '../../core/errors.ts';
import type { Language } from '../../core/execution.ts';
import { toolName } from '../../core/tool.ts';
import { printable } from '../../util/printable.ts';
import { DEFAULT_TOKENS, DETAILS, type Detail, type ToolSearchResult } from '../../workcell/search-tools.ts';
import type { SyncReport } from '../../workcell/sync-server.ts';
import { openCell } from '../open-cell.ts';
import { collect, LANGUAGE_CHOICES, parseCount, parseLanguage } from '../option-values.ts';
import { dim, print, printJson, say, table } from '../output.ts';
import { addCommand } from './tools-add.ts';
import { leftOutLines, serverCommands } from './tools-servers.ts';

export function toolsCommand(done: (code: ExitCode) => void): Command {
  const tools = new Command('tools').description('the tools that programs can call');
  tools
    .command('sync [servers...]')
    .description('read the tools of the configured MCP servers and write them as modules')
    .option('--json', 'print the reports as JSON')
    .action(async (servers: string[], options: { json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const reports = await cell.syncTools(servers.length === 0 ? undefined : servers);
      if (options.json === true)
        printJson(reports.map((report) => (report.ok ? report : { ...report, error: report.error.toJSON() })));
      else for (const report of reports) (report.ok ? print : say)(describe(report));
      const failed = reports.find((report) => !report.ok);
      if (failed !== undefined) done(ERRORS[failed.error.code].exit);
    });
  tools
    .command('list')
    .description('every tool that is known')
    .option('--json', 'print the descriptors as JSON')
    .action(async (options: { json?: true }, command: Command) => {
      await using cell = await openCell(command);
      for (const server of cell.listServers()) if (server.status === 'broken') say(`${server.name}: ${server.problem}`);
      const all = cell.listTools();
      if (options.json === true) printJson(all);
      else print(table(all.map((tool) => [toolName(tool), firstLine(tool.description)])));
      for (const { refusal } of cell.hiddenTools()) say(`hidden: ${printable(refusal.message)}`);
    });
  for (const command of [addCommand(), ...serverCommands(done)]) tools.addCommand(command);
  tools
    .command('search <query>')
    .description('the tools that fit a description, best first')
    .option('--query <text>', 'one more query, such as another step of the task; can be repeated', collect)
    .option('--limit <n>', 'how many at most', parseCount, 10)
    .addOption(new Option('--detail <level>', 'how much to tell of each').choices(DETAILS).default('summaries'))
    .option('--max-tokens <n>', `what a model may have to read: ${budgets()} unless told`, parseCount)
    .option('--lang <language>', `of full definitions: ${LANGUAGE_CHOICES}`, parseLanguage, 'typescript')
    .option('--customer <id>', 'also by what this customer has used tools for')
    .option('--json', 'print everything that was found, and how, as JSON')
    .action(async (query: string, options: SearchFlags, command: Command) => {
      await using cell = await openCell(command);
      const { limit, detail, maxTokens, lang: language } = options;
      const searcher = options.customer === undefined ? cell : cell.customer(options.customer);
      const result = await searcher.searchTools([query, ...(options.query ?? [])], {
        limit,
        detail,
        maxTokens,
        language,
      });
      if (options.json === true) printJson(result);
      else printFound(result, detail);
    });
  tools
    .command('usage')
    .description('which tasks the tools have served for a customer, without the values in them')
    .option('--customer <id>', 'whose', 'default')
    .option('--clear', 'forget them')
    .option('--json', 'print them as JSON')
    .action(async (options: { customer: string; clear?: true; json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const customer = cell.customer(options.customer);
      if (options.clear === true) await customer.clearToolUsage();
      const usage = await customer.toolUsage();
      if (options.json === true) printJson(usage);
      else if (usage.length === 0) say(`Nothing is remembered of "${options.customer}"`);
      else print(table(usage.flatMap((used) => used.tasks.map(({ at, text }) => [toolName(used), at, text]))));
    });
  tools
    .command('embed')
    .description('get the embedding model (24 MB), and embed every tool, so that tools are also found by meaning')
    .action(async (_options: object, command: Command) => {
      await using cell = await openCell(command);
      await cell.embedTools();
      say(
        `${cell.listTools().length} tools are found by meaning, too. Try: workcell tools search "keep what I tell you"`,
      );
    });
  tools
    .command('show <server.tool>')
    .description('the definition of one tool: its types, and the function that calls it')
    .option('--lang <language>', `of the definition: ${LANGUAGE_CHOICES}`, parseLanguage, 'typescript')
    .option('--json', 'print the descriptor and the definition as JSON')
    .action(async (name: string, options: { lang: Language; json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const shown = cell.showTool(name, options.lang);
      if (options.json === true) printJson({ ...shown.tool, definition: shown.definition });
      else print(shown.definition.trimEnd());
    });
  return tools;
}

function describe(report: SyncReport): string {
  if (!report.ok) return printable(`${report.server}: ${report.error.message}`);
  const { server, added, changed, removed, unchanged } = report;
  const counts = `${added.length} added, ${changed.length} changed, ${removed.length} removed, ${unchanged.length} unchanged`;
  return [`${server}: ${counts}`, ...leftOutLines(report)].join('\n  ');
}

interface SearchFlags {
  readonly query?: readonly string[];
  readonly customer?: string;
  readonly limit: number;
  readonly detail: Detail;
  readonly maxTokens?: number;
  readonly lang: Language;
  readonly json?: true;
}

function printFound({ hits, leftOut, withoutEmbeddings, hidden = [] }: ToolSearchResult, detail: Detail): void {
  if (hits.length === 0 && leftOut.length === 0) say('No tool fits; see `workcell tools list`');
  else if (detail === 'full') print(hits.map(({ text }) => text).join('\n\n'));
  else if (detail === 'names') print(hits.map(({ text }) => text).join('\n'));
  else print(table(hits.map(({ score, text, reasons }) => [score.toFixed(2), text, `(${reasons.join('; ')})`])));
  if (leftOut.length > 0) {
    say(
      dim(
        `left out: ${printable(leftOut.join(', '))}; give more --max-tokens, less --detail, or search for one by its name`,
      ),
    );
  }
  for (const { server, reason } of hidden) say(dim(`the tools of ${server} are hidden: ${reason}`));
  if (withoutEmbeddings !== undefined) say(dim(`found by words alone: ${withoutEmbeddings}`));
}

function budgets(): string {
  return DETAILS.map((detail) => `${DEFAULT_TOKENS[detail]} for ${detail}`).join(', ');
}

function firstLine(text: string): string {
  const line = text.split('\n')[0] ?? '';
  return line.length > 100 ? `${line.slice(0, 99)}…` : line;
}
