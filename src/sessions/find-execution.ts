import { isWorkcellError } from '../core/errors.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import type { SessionStore } from './session-store.ts';

export interface ExecutionPlace {
  /** Undefined when no session has it. */
  readonly session: SessionId | undefined;
  /** Sessions that could not be read, and may have it. */
  readonly unreadable: readonly SessionId[];
}

/** Looks for an execution in all sessions of a customer, the latest session first. */
export async function locateExecution(store: SessionStore, id: ExecutionId): Promise<ExecutionPlace> {
  const unreadable: SessionId[] = [];
  for (const session of (await store.list()).toReversed()) {
    try {
      if (await hasStarted(store, session, id)) return { session, unreadable: [] };
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'storage_failed') throw error;
      unreadable.push(session);
    }
  }
  return { session: undefined, unreadable };
}

async function hasStarted(store: SessionStore, session: SessionId, id: ExecutionId): Promise<boolean> {
  for await (const event of (await store.find(session)) ?? []) {
    if (event.type === 'execution.started' && event.executionId === id) return true;
  }
  return false;
}
