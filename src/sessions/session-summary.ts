import { isWorkcellError } from '../core/errors.ts';
import type { SessionId } from '../core/ids.ts';
import type { Page } from './session-reader.ts';
import type { SessionStore } from './session-store.ts';

/** A session in a list. */
export interface SessionSummary {
  readonly sessionId: SessionId;
  /** ISO 8601; null for one that cannot be read. */
  readonly startedAt: string | null;
  /** When it was last written to, ISO 8601. */
  readonly writtenAt: string;
  /** `unreadable`: it is damaged, or the key to it is missing; `problem` says which. */
  readonly state: 'open' | 'closed' | 'unreadable';
  /** How many have started in it. */
  readonly executions: number;
  readonly bytes: number;
  readonly problem: string | null;
}

export interface SessionPage {
  /** Sorted by their ids, the last first: of those with ids that were made up, the latest. */
  readonly sessions: readonly SessionSummary[];
  /** `before` of the next page; null when this is the last. */
  readonly next: SessionId | null;
}

/** One page of a customer's sessions. */
export async function summarizeSessions(store: SessionStore, { limit, before }: Page): Promise<SessionPage> {
  const ids = (await store.list()).filter((id) => before === undefined || id < before).toReversed();
  const shown = ids.slice(0, limit);
  const sessions: SessionSummary[] = [];
  for (const id of shown) {
    const summary = await summarize(store, id);
    if (summary !== undefined) sessions.push(summary);
  }
  return { sessions, next: ids.length > limit ? (shown.at(-1) ?? null) : null };
}

/** Undefined for one that was deleted meanwhile. */
async function summarize(store: SessionStore, sessionId: SessionId): Promise<SessionSummary | undefined> {
  try {
    const { bytes, writtenAt } = await store.stat(sessionId);
    const known = { sessionId, writtenAt: writtenAt.toISOString(), bytes };
    return { ...known, ...(await look(store, sessionId)) };
  } catch (error) {
    if (isWorkcellError(error) && error.code === 'not_found') return undefined;
    throw error;
  }
}

async function look(
  store: SessionStore,
  id: SessionId,
): Promise<Pick<SessionSummary, 'startedAt' | 'state' | 'executions' | 'problem'>> {
  try {
    const reader = await store.findReader(id);
    const last = await reader?.last('session.created', 'session.closed', 'session.resumed', 'execution.started');
    return {
      startedAt: (await reader?.first())?.at ?? null,
      state: last?.type === 'session.closed' ? 'closed' : 'open',
      executions: reader?.executionCount ?? 0,
      problem: null,
    };
  } catch (error) {
    if (!isWorkcellError(error) || !['storage_failed', 'invalid_config'].includes(error.code)) throw error;
    return { startedAt: null, state: 'unreadable', executions: 0, problem: error.message };
  }
}
