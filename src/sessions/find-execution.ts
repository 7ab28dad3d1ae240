import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import type { StoredEvent } from './events.ts';
import type { SessionStore } from './session-store.ts';

type Event<Type extends StoredEvent['type']> = Extract<StoredEvent, { readonly type: Type }>;

/** All that a session tells of one execution. */
export interface RecordedExecution {
  readonly session: SessionId;
  readonly started: Event<'execution.started'>;
  /** Those that were answered, also with a refusal. */
  readonly calls: readonly RecordedCall[];
  /** Undefined while it runs, and for one that was cut off. */
  readonly finished: Event<'execution.finished'> | undefined;
}

export interface RecordedCall {
  readonly server: string;
  readonly tool: string;
  readonly ok: boolean;
}

/**
 * Looks for an execution in all sessions of a customer, the latest session first. Throws `not_found`, naming the sessions that
 * could not be read, when none has it.
 */
export async function findExecution(store: SessionStore, id: ExecutionId): Promise<RecordedExecution> {
  const unreadable: SessionId[] = [];
  for (const session of (await store.list()).toReversed()) {
    try {
      const found = await findIn(store, session, id);
      if (found !== undefined) return found;
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'storage_failed') throw error;
      unreadable.push(session);
    }
  }
  const but = unreadable.length === 0 ? '' : `; these sessions cannot be read: ${unreadable.join(', ')}`;
  throw new WorkcellError('not_found', `No session has the execution "${id}"${but}; see \`workcell session list\``);
}

async function findIn(
  store: SessionStore,
  session: SessionId,
  id: ExecutionId,
): Promise<RecordedExecution | undefined> {
  let started: RecordedExecution['started'] | undefined;
  let finished: RecordedExecution['finished'];
  const called = new Map<number, Event<'tool.called'>>();
  const calls: RecordedCall[] = [];
  for await (const event of (await store.find(session)) ?? []) {
    if (!('executionId' in event) || event.executionId !== id) continue;
    if (event.type === 'execution.started') started = event;
    else if (event.type === 'tool.called') called.set(event.call, event);
    else if (event.type === 'tool.returned') {
      const call = called.get(event.call);
      if (call !== undefined) calls.push({ server: call.server, tool: call.tool, ok: event.ok });
    }
    if (event.type === 'execution.finished') finished = event;
    if (finished !== undefined) break;
  }
  return started === undefined ? undefined : { session, started, calls, finished };
}
