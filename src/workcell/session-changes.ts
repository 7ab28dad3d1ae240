import { WorkcellError } from '../core/errors.ts';
import type { CustomerId, ExecutionId } from '../core/ids.ts';
import type { ProgramCheckpoint } from '../core/program-session.ts';
import { readHistory } from '../sessions/execution-history.ts';
import { recallSession } from '../sessions/recall-session.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import { checkCheckpoint } from './session-of-program.ts';

/** What a session that is opened again has. */
export interface ReopenedSession {
  /** The executions that were cut off, oldest first. */
  readonly interrupted: readonly ExecutionId[];
  /** Those that wait for an approval, and go on when it is decided. */
  readonly paused: readonly ExecutionId[];
  readonly checkpoint: ProgramCheckpoint | null;
}

/** Opens a session for more, also one that was closed. `running`: the executions that are under way. */
export async function reopenSession(
  session: SessionLog,
  running: ReadonlySet<string>,
  customer: CustomerId,
): Promise<ReopenedSession> {
  const reader = await session.openReader();
  const { unfinished, checkpoint } = (await recallSession(reader)).remembered;
  const left = unfinished.filter((id) => !running.has(id)) as ExecutionId[];
  const asked = new Set(
    [...reader.landmarks()].flatMap((each) => (each.type === 'approval.requested' ? [each.executionId] : [])),
  );
  const paused: ExecutionId[] = [];
  for (const executionId of left.filter((id) => asked.has(id))) {
    const owner = { customer, sessionId: session.id, executionId };
    if ((await readHistory(owner, reader.execution(executionId))).state(false) === 'paused') paused.push(executionId);
  }
  const interrupted = left.filter((id) => !paused.includes(id));
  await session.append({ type: 'session.resumed', interrupted });
  return { interrupted, paused, checkpoint };
}

/** Ends a session until it is resumed; one that is closed stays so. Throws `invalid_state` while programs run in it. */
export async function closeSession(session: SessionLog, running: ReadonlySet<string>): Promise<void> {
  const { unfinished, isClosed } = (await recallSession(await session.openReader())).remembered;
  const busy = unfinished.filter((id) => running.has(id));
  if (busy.length > 0) {
    const message = `Cannot close session "${session.id}": ${busy.join(', ')} runs in it; cancel it, or wait for its end`;
    throw new WorkcellError('invalid_state', message);
  }
  if (!isClosed) await session.append({ type: 'session.closed' });
}

export interface NewCheckpoint {
  /** A whole number, or a name of up to 200 characters. */
  readonly step: number | string;
  readonly lastTask?: string | null | undefined;
  /** JSON of up to 256 KiB. */
  readonly context?: unknown;
}

/** Keeps what programs of the session find as its checkpoint; it is on disk when this resolves. Throws `invalid_argument`, and `storage_full`. */
export async function setCheckpoint(session: SessionLog, { step, lastTask, context }: NewCheckpoint): Promise<void> {
  const checked = checkCheckpoint(step, context);
  if (typeof checked === 'string') {
    throw new WorkcellError('invalid_argument', `Cannot set the checkpoint of session "${session.id}": ${checked}`);
  }
  session.assertRoom();
  const task = lastTask?.slice(0, MAX_TASK) ?? null;
  await session.append({ type: 'checkpoint.set', step: checked.step, lastTask: task, context: checked.context });
}

const MAX_TASK = 4096;
