import { messageOf } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import type { PruneReport } from '../sessions/prune-sessions.ts';
import { repeat } from '../util/repeat.ts';

/** What is pruned: of a Workcell, the part that this takes. */
export interface Prunable {
  listCustomers(): Promise<readonly CustomerId[]>;
  customer(id: string): { pruneSessions(options?: { readonly dryRun?: boolean }): Promise<PruneReport> };
}

export type CustomerPruneReport = PruneReport & { readonly customer: CustomerId; readonly problem: string | null };

const DAY_MS = 86_400_000;

/** Deletes the sessions of all customers that are older than `sessions.retention` lets them get. A customer who fails stops no other. */
export async function* pruneAllSessions(
  cell: Prunable,
  options: { readonly dryRun?: boolean } = {},
): AsyncGenerator<CustomerPruneReport> {
  for (const customer of await cell.listCustomers()) {
    try {
      yield { customer, ...(await cell.customer(customer).pruneSessions(options)), problem: null };
    } catch (error) {
      yield { customer, deleted: [], kept: [], problem: messageOf(error) };
    }
  }
}

export interface PruneDailyOptions {
  /** Told of each customer of whom something was deleted, or could not be. */
  readonly onReport: (report: CustomerPruneReport) => void;
  /** Told why nothing could be done. */
  readonly onProblem: (error: unknown) => void;
}

/** {@link pruneAllSessions} now and once a day, until it is disposed, which waits for what is under way. */
export function pruneDaily(cell: Prunable, { onReport, onProblem }: PruneDailyOptions): AsyncDisposable {
  const prune = async (signal: AbortSignal) => {
    for await (const report of pruneAllSessions(cell)) {
      if (report.deleted.length + report.kept.length > 0 || report.problem !== null) onReport(report);
      if (signal.aborted) return;
    }
  };
  return repeat(prune, { everyMs: DAY_MS, onProblem });
}
