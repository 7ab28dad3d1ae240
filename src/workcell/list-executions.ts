import { isWorkcellError } from '../core/errors.ts';
import type { ExecutionState, Language } from '../core/execution.ts';
import type { CustomerId, ExecutionId, SessionId } from '../core/ids.ts';
import { type HistoryOwner, readHistory } from '../sessions/execution-history.ts';
import type { Landmark } from '../sessions/landmark.ts';
import type { SessionReader } from '../sessions/session-reader.ts';
import type { SessionStore } from '../sessions/session-store.ts';
import type { CustomerState } from './customer-state.ts';
import type { Executions } from './executions.ts';

/** An execution in a list; its summary tells the rest. */
export interface ListedExecution {
  readonly executionId: ExecutionId;
  readonly sessionId: SessionId;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly language: Language;
  readonly task: string | null;
  readonly state: ExecutionState;
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

/**
 * A page of a customer's executions. Of the logs, the first and the last event of each is read, and more only of those that have
 * no end and have asked for approvals. What is in sessions that cannot be read is left out.
 */
export async function listExecutions(
  state: CustomerState,
  { limit, before }: ListExecutionsOptions,
): Promise<ExecutionList> {
  const folder = await state.find();
  if (folder === undefined) return { executions: [], hasMore: false };
  const { sessions, workspace } = folder;
  const ids = (await sessions.list()).filter((id) => before === undefined || id <= before.sessionId).toReversed();
  const listed: ListedExecution[] = [];
  for (const sessionId of ids) {
    const reader = await sessions.findReader(sessionId).catch(undefinedIfUnreadable);
    if (reader === undefined) continue;
    const left = limit - listed.length;
    const after = before?.sessionId === sessionId ? before.executionId : undefined;
    const { executions } = reader.executions({ limit: left + 1, before: after });
    const part = { customer: workspace.customer, ids: executions.slice(0, left), sessions };
    listed.push(...(await describe(part, reader, state.executions)));
    if (executions.length > left) return { executions: listed, hasMore: true };
  }
  return { executions: listed, hasMore: false };
}

/** Executions of one session. */
interface SessionPart {
  readonly customer: CustomerId;
  readonly ids: readonly ExecutionId[];
  readonly sessions: SessionStore;
}

async function describe(
  { customer, ids, sessions }: SessionPart,
  reader: SessionReader,
  executions: Executions,
): Promise<readonly ListedExecution[]> {
  const sessionId = reader.id;
  const isOpen = ({ executionId, end }: Place) => end === undefined && executions.stateOf(executionId) === undefined;
  const places = placesOf(ids, reader);
  const hasOpen = places.some(isOpen);
  const isHeld = hasOpen && (await sessions.isOpenElsewhere(sessionId));
  // What nobody runs was cut off, or has ended since the log was looked at.
  const latest = hasOpen && !isHeld ? await sessions.findReader(sessionId) : reader;
  if (latest === undefined) return [];
  const listed: ListedExecution[] = [];
  for (const place of latest === reader ? places : placesOf(ids, latest)) {
    const { executionId, start } = place;
    const started = await latest.event(start);
    if (started.type !== 'execution.started') continue;
    const owner = { customer, sessionId, executionId };
    const state = executions.stateOf(executionId) ?? (await readState(owner, place, latest, isHeld));
    const { at: startedAt, language, task } = started;
    listed.push({ executionId, sessionId, startedAt, language, task, state });
  }
  return listed;
}

/** Where an execution is in its log. */
interface Place {
  readonly executionId: ExecutionId;
  readonly start: Landmark;
  /** Undefined while it has none, also after it was resumed. */
  end?: Landmark | undefined;
  hasAsked: boolean;
}

/** In the order of the ids. */
function placesOf(ids: readonly ExecutionId[], reader: SessionReader): readonly Place[] {
  const wanted = new Set<string>(ids);
  const places = new Map<string, Place>();
  for (const landmark of reader.landmarks()) {
    const { type } = landmark;
    if (!wanted.has(landmark.executionId)) continue;
    const executionId = landmark.executionId as ExecutionId;
    const place = places.get(executionId) ?? { executionId, start: landmark, hasAsked: false };
    places.set(executionId, place);
    if (type === 'execution.finished' || type === 'execution.interrupted') place.end = landmark;
    if (type === 'execution.resumed') place.end = undefined;
    if (type === 'approval.requested') place.hasAsked = true;
  }
  return ids.flatMap((id) => places.get(id) ?? []);
}

async function readState(
  owner: HistoryOwner,
  { start, end, hasAsked }: Place,
  reader: SessionReader,
  isHeld: boolean,
): Promise<ExecutionState> {
  if (end?.type === 'execution.interrupted') return 'interrupted';
  const last = end === undefined ? undefined : await reader.event(end);
  if (last?.type === 'execution.finished') return last.status;
  // The call that waited may have been given up, which no landmark tells.
  if (hasAsked) return (await readHistory(owner, reader.execution(owner.executionId, start.start))).state(isHeld);
  return isHeld ? 'running' : 'interrupted';
}

/** The list of sessions says why. */
function undefinedIfUnreadable(error: unknown): undefined {
  if (isWorkcellError(error) && ['storage_failed', 'invalid_config'].includes(error.code)) return undefined;
  throw error;
}
