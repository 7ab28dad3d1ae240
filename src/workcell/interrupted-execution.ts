import { WorkcellError } from '../core/errors.ts';
import type { ExecutionId } from '../core/ids.ts';
import type { StoredEvent } from '../sessions/events.ts';
import { type RecordedCalls, recordedCalls } from '../sessions/recorded-calls.ts';
import { type Remembered, SessionMemory } from '../sessions/session-memory.ts';
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

/** Throws `not_found` for an execution that is not in these events, and `invalid_state` for one that cannot be run again. */
export async function readInterrupted(
  id: ExecutionId,
  events: AsyncIterable<StoredEvent>,
): Promise<InterruptedExecution> {
  const memory = new SessionMemory();
  const own: StoredEvent[] = [];
  const checkpoints: CheckedCheckpoint[] = [];
  let started: Event<'execution.started'> | undefined;
  let first = memory.remembered;
  let outcome: string | undefined;
  for await (const event of events) {
    if (event.type === 'checkpoint.set' && started !== undefined) checkpoints.push(event);
    if ('executionId' in event && event.executionId === id && event.type !== 'output') {
      own.push(event);
      if (event.type === 'execution.finished') outcome = event.status;
      if (event.type === 'execution.resumed') outcome = undefined;
      if (event.type === 'execution.started') {
        started = event;
        first = memory.remembered;
      }
    }
    memory.push(event);
  }
  if (started === undefined) throw new WorkcellError('not_found', `The session does not have the execution "${id}"`);
  if (outcome !== undefined && outcome !== 'interrupted') {
    throw new WorkcellError('invalid_state', `Cannot resume the execution "${id}": it has ended, and is ${outcome}`);
  }
  return {
    ...recordedCalls(id, own),
    started: whole(id, started),
    first,
    latest: memory.remembered,
    checkpoints,
  };
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
