import { WorkcellError } from '../core/errors.ts';
import type { ExecutionId } from '../core/ids.ts';
import type { StoredEvent } from '../sessions/events.ts';
import { recallSession } from '../sessions/recall-session.ts';
import { type RecordedCalls, recordedCalls } from '../sessions/recorded-calls.ts';
import type { Remembered } from '../sessions/session-memory.ts';
import type { SessionReader } from '../sessions/session-reader.ts';
import type { CheckedCheckpoint } from './session-of-program.ts';

type Event<Type extends StoredEvent['type']> = Extract<StoredEvent, { readonly type: Type }>;

/** What a session tells of an execution that is to run again. */
export interface InterruptedExecution extends RecordedCalls {
  readonly started: Event<'execution.started'> & {
    readonly request: NonNullable<Event<'execution.started'>['request']>;
  };
  /** What its session remembered when its program first ran, and what it remembers. */
  readonly first: Remembered;
  readonly latest: Remembered;
  /** The checkpoints that were set since it started. */
  readonly checkpoints: readonly CheckedCheckpoint[];
}

/** Throws `not_found` for an execution that the session does not have, and `invalid_state` for one that cannot be run again. */
export async function readInterrupted(id: ExecutionId, session: SessionReader): Promise<InterruptedExecution> {
  const events: StoredEvent[] = [];
  let started: Event<'execution.started'> | undefined;
  let outcome: string | undefined;
  for await (const event of session.execution(id)) {
    if (event.type === 'output') continue;
    events.push(event);
    if (event.type === 'execution.started') started = event;
    if (event.type === 'execution.finished') outcome = event.status;
    if (event.type === 'execution.resumed') outcome = undefined;
  }
  if (started === undefined) throw new WorkcellError('not_found', `The session does not have the execution "${id}"`);
  if (outcome !== undefined && outcome !== 'interrupted') {
    throw new WorkcellError('invalid_state', `Cannot resume the execution "${id}": it has ended, and is ${outcome}`);
  }
  return {
    ...recordedCalls(id, events),
    started: whole(id, started),
    first: (await recallSession(session, started.seq)).remembered,
    latest: (await recallSession(session)).remembered,
    checkpoints: await checkpointsAfter(session, started.seq),
  };
}

async function checkpointsAfter(session: SessionReader, seq: number): Promise<readonly CheckedCheckpoint[]> {
  const checkpoints: CheckedCheckpoint[] = [];
  for (const landmark of session.landmarks()) {
    if (landmark.type !== 'checkpoint.set' || landmark.seq <= seq) continue;
    const event = await session.event(landmark);
    if (event.type === 'checkpoint.set') checkpoints.push(event);
  }
  return checkpoints;
}

function whole(id: ExecutionId, started: Event<'execution.started'>): InterruptedExecution['started'] {
  const { request, truncated = [] } = started;
  if (request !== undefined && !truncated.some((field) => field === 'request.code' || field === 'task')) {
    return { ...started, request };
  }
  throw new WorkcellError(
    'invalid_state',
    `Cannot resume the execution "${id}": its log does not hold the whole program; run it anew`,
  );
}
