import type { PendingApproval, RecordedResult } from '../core/execution.ts';
import type { Customer } from '../workcell/customer.ts';
import type { AskPerson } from './ask-person.ts';
import type { CallExtra } from './tool-table.ts';

export interface AwaitedExecution {
  readonly id: string;
  /** Resolves when it finishes. */
  readonly finished: Promise<RecordedResult>;
}

/** Waits until an execution finishes, or waits itself for a decision that nobody makes here; undefined then. */
export async function awaitExecution(
  customer: Customer,
  { id, finished }: AwaitedExecution,
  ask: AskPerson,
  extra: CallExtra,
): Promise<RecordedResult | undefined> {
  const over = new AbortController();
  const decided = askUntilDecided(customer, id, ask, extra, over.signal);
  // What one waits for in vain fails when the other is there.
  decided.catch(() => {});
  try {
    return await Promise.race([finished, decided]);
  } finally {
    over.abort();
  }
}

/** Waits for a decision on a paused execution, and then for its end, but not for long: whoever asks can ask again. */
export async function awaitPaused(
  customer: Customer,
  id: string,
  ask: AskPerson,
  extra: CallExtra,
  approvals: readonly PendingApproval[],
): Promise<void> {
  const over = new AbortController();
  const finished = untilFinished(customer, id, over.signal);
  try {
    const isDecided = await Promise.race([finished, ask(approvals, extra, over.signal)]);
    const late = AbortSignal.any([extra.signal, AbortSignal.timeout(PATIENCE_MS)]);
    late.addEventListener('abort', () => over.abort(), { once: true });
    await (isDecided === true ? awaitExecution(customer, { id, finished }, ask, extra) : finished);
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    over.abort();
  }
}

const PATIENCE_MS = 20_000;

async function askUntilDecided(
  customer: Customer,
  id: string,
  ask: AskPerson,
  extra: CallExtra,
  over: AbortSignal,
): Promise<undefined> {
  const signal = AbortSignal.any([extra.signal, over]);
  for (;;) {
    const approvals = await customer.whenPaused(id, signal);
    if (!(await ask(approvals, extra, over))) return undefined;
  }
}

/** Rejects when the signal fires first. */
async function untilFinished(customer: Customer, id: string, signal: AbortSignal): Promise<RecordedResult> {
  for await (const event of customer.watch(id, { follow: true, signal })) {
    if (event.type === 'finished') return event.result;
  }
  signal.throwIfAborted();
  throw new Error('The history ended without the end of the execution');
}
