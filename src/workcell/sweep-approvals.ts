import { repeat } from '../util/repeat.ts';

/** Of a Workcell, the part that this takes. */
export interface Sweepable {
  sweepApprovals(): Promise<void>;
}

const MINUTE_MS = 60_000;

/**
 * Carries out decisions that got stuck, and rejects what nobody has decided on in time, now and once a minute, until it is
 * disposed: nobody else does it while nobody decides. `onProblem` is told why nothing could be done.
 */
export function sweepApprovals(cell: Sweepable, onProblem: (error: unknown) => void): AsyncDisposable {
  return repeat(() => cell.sweepApprovals(), { everyMs: MINUTE_MS, onProblem });
}
