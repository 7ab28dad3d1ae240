import { Command, InvalidArgumentError } from 'commander';
import { ERRORS, type ExitCode } from '../../core/errors.ts';
import { toolName } from '../../core/tool.ts';
import type { SyncReport } from '../../workcell/sync-tools.ts';
import { openCell } from '../open-cell.ts';
import { print, printJson, say, table } from '../output.ts';
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
      for (const { refusal } of cell.hiddenTools()) say(`hidden: ${refusal.message}`);
    });
  for (const command of serverCommands(done)) tools.addCommand(command);
  tools
    .command('search <query>')
    .description('the tools that fit a description, best first')
    .option('--limit <n>', 'how many at most', parseLimit, 10)
    .option('--json', 'print the hits as JSON')
    .action(async (query: string, options: { limit: number; json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const hits = await cell.searchTools(query, { limit: options.limit });
      if (options.json === true) printJson(hits);
      else if (hits.length === 0) say('No tool fits; see `workcell tools list`');
      else print(table(hits.map((hit) => [hit.score.toFixed(2), toolName(hit), hit.reasons.join('; ')])));
    });
  return tools;
}

function describe(report: SyncReport): string {
  if (!report.ok) return `${report.server}: ${report.error.message}`;
  const { server, added, changed, removed, unchanged } = report;
  const counts = `${added.length} added, ${changed.length} changed, ${removed.length} removed, ${unchanged.length} unchanged`;
  return [`${server}: ${counts}`, ...leftOutLines(report)].join('\n  ');
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit > 0) return limit;
  throw new InvalidArgumentError('Give a whole number above 0.');
}

function firstLine(text: string): string {
  const line = text.split('\n')[0] ?? '';
  return line.length > 100 ? `${line.slice(0, 99)}…` : line;
}
