import type { Command } from 'commander';
import { WorkcellError } from '../../core/errors.ts';
import { formatSize } from '../../core/units.ts';
import { type CustomerPruneReport, pruneAllSessions } from '../../workcell/prune-sessions.ts';
import { openCell } from '../open-cell.ts';
import { print, printJson, say } from '../output.ts';

interface PruneFlags {
  readonly dryRun?: true;
  readonly json?: true;
}

export function addPruneCommand(session: Command): void {
  session
    .command('prune')
    .description('delete the sessions of all customers that are older than sessions.retention of the configuration')
    .option('--dry-run', 'tell what would be deleted, and delete nothing')
    .option('--json', 'print a line of JSON for each customer')
    .action(prune);
}

async function prune({ dryRun, json }: PruneFlags, command: Command): Promise<void> {
  await using cell = await openCell(command);
  if (cell.loaded.config.sessions.retentionMs === undefined) {
    throw new WorkcellError(
      'invalid_state',
      'Nothing says how old a session may get; set sessions.retention, such as 90d',
    );
  }
  let [count, bytes] = [0, 0];
  const failed: string[] = [];
  for await (const report of pruneAllSessions(cell, { dryRun: dryRun === true })) {
    if (json === true) printJson(report);
    else tell(report);
    count += report.deleted.length;
    bytes += report.deleted.reduce((sum, session) => sum + session.bytes, 0);
    if (report.problem !== null) failed.push(report.customer);
  }
  say(`${dryRun === true ? 'Would delete' : 'Deleted'} ${count} sessions, ${formatSize(bytes)}`);
  if (failed.length > 0)
    throw new WorkcellError(
      'storage_failed',
      `The sessions of these customers could not be pruned: ${failed.join(', ')}`,
    );
}

function tell({ customer, deleted, kept, problem }: CustomerPruneReport): void {
  for (const { sessionId, writtenAt } of deleted) print(`${customer} ${sessionId} ${writtenAt}`);
  for (const { sessionId, reason } of kept) say(`kept ${customer} ${sessionId}: ${reason}`);
  if (problem !== null) say(`${customer}: ${problem}`);
}
