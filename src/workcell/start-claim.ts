import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { ExecutionId } from '../core/ids.ts';
import { Deadline } from '../util/deadline.ts';

/** As `SessionStore.claim`, of the customer's sessions; made when there are none. */
export type Claim = (id: ExecutionId, deadline: Deadline) => Promise<AsyncDisposable>;

/** How long an execution may wait for its turn in another process, and somebody else here for that. */
const CLAIM_TIMEOUT_MS = 30_000;

/**
 * Gets the right to start an execution. Throws `busy` when another process has had it for long, and `cancelled` when a signal
 * fires.
 */
export async function claimStart(
  id: ExecutionId,
  claim: Claim,
  signals: readonly (AbortSignal | undefined)[],
): Promise<AsyncDisposable> {
  const signal = AbortSignal.any(signals.filter((each) => each !== undefined));
  using deadline = new Deadline(`Waiting for the start of the execution "${id}"`, CLAIM_TIMEOUT_MS, { signal });
  try {
    return await claim(id, deadline);
  } catch (error) {
    if (!isWorkcellError(error) || error.code !== 'deadline_exceeded') throw error;
    const message = `Another process has been about to start the execution "${id}" for ${CLAIM_TIMEOUT_MS / 1000} s; send the same request again`;
    throw new WorkcellError('busy', message, { cause: error });
  }
}
