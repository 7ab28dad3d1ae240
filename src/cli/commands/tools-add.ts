import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { type ServerEntry, withMcpServer } from '../../config/add-server.ts';
import { WorkcellError } from '../../core/errors.ts';
import { readTextIfExists, rewriteFileAtomic } from '../../util/atomic-file.ts';
import type { SyncReport } from '../../workcell/sync-server.ts';
import { loadCliConfig, openCell } from '../open-cell.ts';
import { collect } from '../option-values.ts';
import { print, printJson, say } from '../output.ts';

interface AddOptions {
  readonly url?: string;
  readonly env?: readonly string[];
  readonly header?: readonly string[];
  readonly json?: true;
}

/** `workcell tools add`. */
export function addCommand(): Command {
  return new Command('add')
    .description('add an MCP server to the configuration file, and write its tools as modules')
    .argument('<name>', 'how programs will call it: servers/<name>')
    .argument('[command...]', 'what starts it, behind --')
    .option('--url <url>', 'where it is reached over HTTP, instead of a command')
    .option('--env <NAME=value>', 'a variable of its process; can be repeated', collect)
    .option('--header <NAME=value>', 'a header of each request; can be repeated', collect)
    .option('--json', 'print what was read as JSON')
    .addHelpText(
      'after',
      `
A credential is best left in the environment: --env 'TOKEN=\${GITHUB_TOKEN}' writes just that into the file.

Examples:
  workcell tools add thinking -- npx -y @modelcontextprotocol/server-sequential-thinking
  workcell tools add tickets --url https://mcp.example.com/mcp --header 'Authorization=Bearer \${TICKETS_TOKEN}'`,
    )
    .action(async (name: string, started: readonly string[], options: AddOptions, command: Command) => {
      const entry = entryOf(started, options);
      const path = (await loadCliConfig(command)).file ?? resolve('config.yaml');
      const before = await readTextIfExists(path);
      await rewriteFileAtomic(path, withMcpServer(before ?? '', name, entry));
      const report = await read(name, command).catch(async (error: unknown) => {
        // A server that cannot be used would be in the way of every command.
        if (before === undefined) await rm(path);
        else await rewriteFileAtomic(path, before);
        throw error;
      });
      if (options.json === true) return printJson(report);
      const tools = [...report.added, ...report.changed, ...report.unchanged];
      print(tools.map((tool) => `${name}.${tool}`).join('\n'));
      say(`${path} has the server now. Try: workcell tools show ${name}.${tools[0] ?? '<tool>'}`);
    });
}

async function read(name: string, command: Command): Promise<Extract<SyncReport, { ok: true }>> {
  await using cell = await openCell(command);
  const [report] = await cell.syncTools([name]);
  if (report?.ok === true) return report;
  throw report?.error ?? new WorkcellError('internal', `Nothing is known of the server "${name}"`);
}

function entryOf([program, ...args]: readonly string[], { url, env = [], header = [] }: AddOptions): ServerEntry {
  if ((program === undefined) === (url === undefined))
    throw new WorkcellError('invalid_argument', 'Give either a command behind --, or --url');
  if (program !== undefined) {
    if (header.length > 0) throw new WorkcellError('invalid_argument', '--header belongs to a server with --url');
    return {
      command: program,
      ...(args.length > 0 ? { args } : {}),
      ...(env.length > 0 ? { env: pairs('--env', env) } : {}),
    };
  }
  if (env.length > 0) throw new WorkcellError('invalid_argument', '--env belongs to a server with a command');
  return { url: url ?? '', ...(header.length > 0 ? { headers: pairs('--header', header) } : {}) };
}

function pairs(option: string, given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((pair) => {
      const at = pair.indexOf('=');
      if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
      // What stands there can be a credential.
      throw new WorkcellError('invalid_argument', `A value of ${option} has no name; write it as NAME=value`);
    }),
  );
}
