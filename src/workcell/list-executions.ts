import type { Language } from '../core/execution.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import type { SessionReader } from '../sessions/session-reader.ts';
import type { CustomerState } from './customer-state.ts';

/** An execution in a list; its summary tells the rest. */
export interface ListedExecution {
  readonly executionId: ExecutionId;
  readonly sessionId: SessionId;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly language: Language;
  readonly task: string | null;
  /** Whether it has an outcome. */
  readonly hasEnded: boolean;
}

/** The last entry of a page. */
export type ExecutionPlace = Pick<ListedExecution, 'executionId' | 'sessionId'>;

export interface ListExecutionsOptions {
  readonly limit: number;
  /** The last one of the page before. */
  readonly before?: ExecutionPlace | undefined;
}

export interface ExecutionList {
  /** Those of the latest session first, and in each the latest first. */
  readonly executions: readonly ListedExecution[];
  readonly hasMore: boolean;
}

/** A page of a customer's executions; of the logs, only the starts of those in it are read. */
export async function listExecutions(
  state: CustomerState,
  { limit, before }: ListExecutionsOptions,
): Promise<ExecutionList> {
  const sessions = (await state.find())?.sessions;
  if (sessions === undefined) return { executions: [], hasMore: false };
  const ids = (await sessions.list()).filter((id) => before === undefined || id <= before.sessionId).toReversed();
  const executions: ListedExecution[] = [];
  for (const sessionId of ids) {
    const reader = await sessions.findReader(sessionId);
    if (reader === undefined) continue;
    const after = before?.sessionId === sessionId ? before.executionId : undefined;
    const page = reader.executions({ limit: limit - executions.length + 1, before: after });
    const ended = endedIn(reader, new Set(page.executions));
    for (const executionId of page.executions) {
      if (executions.length === limit) return { executions, hasMore: true };
      const started = await startOf(reader, executionId);
      if (started !== undefined)
        executions.push({ executionId, sessionId, ...started, hasEnded: ended.has(executionId) });
    }
  }
  return { executions, hasMore: false };
}

function endedIn(reader: SessionReader, executions: ReadonlySet<string>): ReadonlySet<string> {
  const ended = new Set<string>();
  for (const { type, executionId } of reader.landmarks()) {
    if (!executions.has(executionId)) continue;
    if (type === 'execution.finished') ended.add(executionId);
    if (type === 'execution.resumed') ended.delete(executionId);
  }
  return ended;
}

async function startOf(
  reader: SessionReader,
  executionId: string,
): Promise<Pick<ListedExecution, 'startedAt' | 'language' | 'task'> | undefined> {
  for await (const event of reader.execution(executionId)) {
    if (event.type !== 'execution.started') continue;
    const { at: startedAt, language, task } = event;
    return { startedAt, language, task };
  }
  return undefined;
}
