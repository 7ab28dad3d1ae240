import { setTimeout as sleep } from 'node:timers/promises';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { ExecutionResult, ExecutionSummary, HistoryEvent, RecordedResult } from '../core/execution.ts';
import { type CustomerId, type ExecutionId, newExecutionId, parseExecutionId, type SessionId } from '../core/ids.ts';
import type { StoredEvent } from '../sessions/events.ts';
import { ExecutionHistory, type HistoryOwner, readHistory } from '../sessions/execution-history.ts';
import { interruptedEvent, killedEvent } from '../sessions/outcome-event.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { SessionStore } from '../sessions/session-store.ts';
import { KeyedTurns } from '../util/keyed-turns.ts';
import { untilAborted } from '../util/until-aborted.ts';
import type { ExecuteRequest } from './execute-request.ts';
import { LiveExecution } from './live-execution.ts';
import { askedFor, assertSameRequest, recordedAsk } from './same-request.ts';

export interface WatchOptions {
  /** Tells only what comes after this `seq`. Default 0: everything. */
  readonly after?: number | undefined;
  /** Whether to wait for what is still to come, until the execution finishes. Default false. */
  readonly follow?: boolean | undefined;
  /** Ends the iteration. */
  readonly signal?: AbortSignal | undefined;
}

/** An execution that was started, now or before. */
export interface StartedExecution {
  readonly id: ExecutionId;
  readonly sessionId: SessionId;
  /** False when the id was known already: nothing was started then. */
  readonly isNew: boolean;
  /** Resolves when it finishes; one that is paused may take its time. */
  result(): Promise<RecordedResult>;
}

export interface ExecutionsOptions {
  readonly customer: CustomerId;
  /** The customer's sessions; undefined when there are none. */
  readonly sessions: () => Promise<SessionStore | undefined>;
}

/** What became of a request: an execution that this process runs, or one that is on disk. */
export type Begun =
  | { readonly isNew: boolean; readonly live: LiveExecution }
  | { readonly isNew: false; readonly recorded: ExecutionHistory };

type Run = (live: LiveExecution) => Promise<ExecutionResult>;
type Resume = (live: LiveExecution, session: SessionLog, history: ExecutionHistory) => Promise<ExecutionResult>;
/** Whether a watch is over, or has to look again, and how far it is. */
interface Watched {
  readonly isOver: boolean;
  readonly seq: number;
}

/** What another process does is looked for this often; it cannot tell. */
const LOOK_EVERY_MS = 200;
/** How often it is asked whether that process is still there. */
const ASK_EVERY_MS = 2_000;

/** The executions of one customer: those that this process runs, and those that are on disk. */
export class Executions {
  readonly #customer: CustomerId;
  readonly #sessions: ExecutionsOptions['sessions'];
  readonly #live = new Map<ExecutionId, LiveExecution>();
  /** Of those who decide what becomes of an execution, one at a time. */
  readonly #turns = new KeyedTurns();

  constructor(options: ExecutionsOptions) {
    this.#customer = options.customer;
    this.#sessions = options.sessions;
  }

  /** Those that this process runs. */
  get running(): ReadonlySet<string> {
    return new Set(this.#live.keys());
  }

  /** Resolves when this process runs none. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#live.values()].map(({ outcome }) => outcome));
  }

  /** To be told of every event that is on disk. */
  stored(session: SessionId, event: StoredEvent): void {
    if ('executionId' in event) this.#live.get(event.executionId as ExecutionId)?.stored(session, event);
  }

  /**
   * Runs what was asked for; of an id that is known, gives the execution that it has. Throws `already_exists` when that was
   * started with another request.
   */
  async begin(request: ExecuteRequest, run: Run): Promise<Begun> {
    if (request.executionId === undefined) return { isNew: true, live: this.run(request, run) };
    const id = parseExecutionId(request.executionId);
    const begun = await this.#turns.take(id, async (): Promise<Begun> => {
      const live = this.#live.get(id);
      if (live !== undefined) return { isNew: false, live };
      const recorded = await this.#find(id);
      if (recorded !== undefined) return { isNew: false, recorded };
      return { isNew: true, live: this.#launch(id, request, run) };
    });
    if (!begun.isNew) await assertRepeated(begun, request);
    return begun;
  }

  /** Runs what has no id yet. */
  run(request: ExecuteRequest, run: Run): LiveExecution {
    return this.#launch(newExecutionId(), request, run);
  }

  /** Resolves when the start is on disk. */
  async started(begun: Begun): Promise<StartedExecution> {
    const { id, sessionId } = await placeOf(begun);
    return { id, sessionId, isNew: begun.isNew, result: () => this.#result(id, begun) };
  }

  /**
   * Runs an execution on that nobody runs: `work` is given its session, and what is on disk of it. Throws `not_found`,
   * `invalid_state` when this process runs it, and `busy` when another one does.
   */
  async resume(id: ExecutionId, work: Resume): Promise<LiveExecution> {
    return await this.#turns.take(id, async () => {
      const current = this.#live.get(id);
      // Its end can be watched before everything under it has been let go of.
      if (current?.history?.finished !== undefined) await current.outcome.catch(() => {});
      if (this.#live.has(id))
        throw new WorkcellError('invalid_state', `The execution "${id}" runs already; watch it instead`);
      const located = await this.#locate(id);
      const session = await this.#openSession(located);
      try {
        const history = await readHistory(located.owner, await eventsOf(located));
        const live = new LiveExecution({ id, asked: recordedAsk(history.started), history, newHistory: () => history });
        return this.#track(live, async () => {
          await using _session = session;
          return await work(live, session, history);
        });
      } catch (error) {
        await session.close();
        throw error;
      }
    });
  }

  /**
   * What happened in an execution, and what happens, each event once it is on disk. Throws `not_found`, and `history_gone` when
   * its session was removed.
   */
  async *watch(id: ExecutionId, options: WatchOptions = {}): AsyncGenerator<HistoryEvent> {
    let watched: Watched = { isOver: false, seq: options.after ?? 0 };
    while (!watched.isOver && options.signal?.aborted !== true) {
      const live = await this.#findLive(id);
      watched =
        live === undefined
          ? yield* this.#watchRecorded(id, watched.seq, options)
          : yield* this.#watchLive(live, watched.seq, options);
    }
  }

  /** Throws as {@link watch} does. */
  async summary(id: ExecutionId): Promise<ExecutionSummary> {
    const live = await this.#findLive(id);
    if (live?.history !== undefined) return summarize(live.history, true);
    const recorded = await this.recorded(id);
    if (recorded.state(false) !== 'interrupted' || recorded.finished !== undefined) return summarize(recorded, false);
    const isHeld = (await this.#settle(id)) === 'held';
    return summarize(isHeld ? recorded : await this.recorded(id), isHeld);
  }

  /** What is on disk of an execution. Throws as {@link watch} does. */
  async recorded(id: ExecutionId): Promise<ExecutionHistory> {
    const located = await this.#locate(id);
    return await readHistory(located.owner, await eventsOf(located));
  }

  /** Ends an execution with `killed`, unless it has an outcome; resolves when that is on disk. Throws `not_found`, and `busy` when another process runs it. */
  async cancel(id: ExecutionId): Promise<void> {
    for (let live = this.#live.get(id); live !== undefined; live = this.#live.get(id)) {
      live.cancel();
      await live.outcome.catch(() => {});
    }
    const done = await this.#exclusively(id, async (session, history) => {
      const isOver = history.finished !== undefined && history.finished.status !== 'interrupted';
      if (!isOver) await session.append(killedEvent(id, history.output));
      return true;
    });
    // It was started or resumed a moment ago.
    if (done === undefined) await this.cancel(id);
  }

  #launch(id: ExecutionId, request: ExecuteRequest, run: Run): LiveExecution {
    const newHistory = (session: SessionId) => new ExecutionHistory(this.#ownerIn(session, id));
    const live = new LiveExecution({ id, asked: askedFor(request), signal: request.signal, newHistory });
    return this.#track(live, () => run(live));
  }

  #track(live: LiveExecution, work: () => Promise<ExecutionResult>): LiveExecution {
    this.#live.set(live.id, live);
    live.run(async () => {
      try {
        return await work();
      } finally {
        this.#live.delete(live.id);
      }
    });
    return live;
  }

  /** One that this process runs, once its start is on disk. */
  async #findLive(id: ExecutionId): Promise<LiveExecution | undefined> {
    const live = this.#live.get(id);
    if (live === undefined) return undefined;
    return await live.started.then(
      () => live,
      () => undefined,
    );
  }

  async *#watchLive(
    live: LiveExecution,
    after: number,
    { follow = false, signal }: WatchOptions,
  ): AsyncGenerator<HistoryEvent, Watched> {
    let seq = after;
    for (;;) {
      // Whoever reads slower than the program writes reads what is on disk, so that nothing piles up here.
      const recent = live.recent(seq);
      if (recent === undefined) seq = (yield* this.#watchDisk(live.id, seq, signal)).seq;
      for (const event of recent ?? []) {
        yield event;
        seq = event.seq;
      }
      if (signal?.aborted === true) return { isOver: true, seq };
      if ((live.history?.lastSeq ?? 0) > seq) continue;
      if (!follow || live.history?.finished !== undefined) return { isOver: true, seq };
      if (live.hasEnded) return { isOver: false, seq };
      await untilAborted(live.changed, signal);
    }
  }

  async *#watchRecorded(id: ExecutionId, after: number, options: WatchOptions): AsyncGenerator<HistoryEvent, Watched> {
    const { follow = false, signal } = options;
    const { history, seq } = yield* this.#watchDisk(id, after, signal);
    if (history.finished !== undefined || signal?.aborted === true) return { isOver: true, seq };
    if (this.#live.has(id)) return { isOver: !follow, seq };
    const settled = await this.#settle(id);
    if (settled === 'ended') return { isOver: false, seq };
    if (follow) await this.#otherwise(history.owner, signal);
    return { isOver: !follow, seq };
  }

  async *#watchDisk(
    id: ExecutionId,
    after: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<HistoryEvent, { readonly history: ExecutionHistory; readonly seq: number }> {
    const located = await this.#locate(id);
    const history = new ExecutionHistory(located.owner);
    let seq = after;
    for await (const event of await eventsOf(located)) {
      const told = history.push(event);
      if (told === undefined || told.seq <= seq) continue;
      if (signal?.aborted === true) break;
      yield told;
      seq = told.seq;
    }
    return { history, seq };
  }

  /** Waits until something may have become of an execution that this process does not run. */
  async #otherwise({ executionId, sessionId }: HistoryOwner, signal: AbortSignal | undefined): Promise<void> {
    const store = await this.#sessions();
    const before = await store?.size(sessionId);
    const until = performance.now() + ASK_EVERY_MS;
    while (performance.now() < until && signal?.aborted !== true) {
      await sleep(LOOK_EVERY_MS, undefined, signal === undefined ? {} : { signal }).catch(() => {});
      if (this.#live.has(executionId) || (await store?.size(sessionId)) !== before) return;
    }
  }

  /**
   * Sees to it that an execution that was cut off has an end. `paused`: it waits for an approval, and needs none; `held`: somebody
   * runs it.
   */
  async #settle(id: ExecutionId): Promise<'ended' | 'paused' | 'held'> {
    try {
      const settled = await this.#exclusively(id, async (session, history) => {
        if (history.finished !== undefined) return 'ended';
        if (history.approvals.length > 0) return 'paused';
        await session.append(interruptedEvent(id, cutOff(), history.output));
        return 'ended';
      });
      return settled ?? 'held';
    } catch (error) {
      if (isWorkcellError(error) && error.code === 'busy') return 'held';
      throw error;
    }
  }

  /** Decides about an execution that nobody runs; undefined when this process runs it. Throws `not_found`, and `busy` when another one does. */
  async #exclusively<T>(
    id: ExecutionId,
    work: (session: SessionLog, history: ExecutionHistory) => Promise<T>,
  ): Promise<T | undefined> {
    return await this.#turns.take(id, async () => {
      if (this.#live.has(id)) return undefined;
      const located = await this.#locate(id);
      await using session = await this.#openSession(located);
      return await work(session, await readHistory(located.owner, await eventsOf(located)));
    });
  }

  async #result(id: ExecutionId, begun: Begun): Promise<RecordedResult> {
    const known = 'live' in begun ? await begun.live.finished : begun.recorded.result();
    if (known !== undefined) return known;
    let last: RecordedResult | undefined;
    for await (const event of this.watch(id, { follow: true })) {
      last = event.type === 'finished' ? event.result : undefined;
    }
    if (last !== undefined) return last;
    throw new WorkcellError('internal', `The execution "${id}" was told to its end, and had none`);
  }

  /** Throws `storage_failed` when it might be in a session that cannot be read: it must not run twice. */
  async #find(id: ExecutionId): Promise<ExecutionHistory | undefined> {
    const store = await this.#sessions();
    const place = await store?.locate(id);
    if (place !== undefined) return await this.recorded(id);
    const unreadable = (await store?.unregistered()) ?? [];
    if (unreadable.length === 0) return undefined;
    throw new WorkcellError(
      'storage_failed',
      `Cannot tell whether the execution "${id}" is known, since these sessions cannot be read: ${unreadable.join(', ')}; delete them, or leave the id out`,
    );
  }

  /** Where it is recorded. Throws `not_found`, and `history_gone` when its session was deleted. */
  async #locate(id: ExecutionId): Promise<Located> {
    const store = await this.#sessions();
    const place = await store?.locate(id);
    if (place === 'gone') throw gone(id);
    if (store !== undefined && place !== undefined)
      return { store, owner: this.#ownerIn(place.session, id), start: place.start };
    const unreadable = (await store?.unregistered()) ?? [];
    const but = unreadable.length === 0 ? '' : `; these sessions cannot be read: ${unreadable.join(', ')}`;
    throw new WorkcellError(
      'not_found',
      `No session of customer "${this.#customer}" has the execution "${id}"${but}; see \`workcell session list\``,
    );
  }

  #ownerIn(sessionId: SessionId, executionId: ExecutionId): HistoryOwner {
    return { customer: this.#customer, sessionId, executionId };
  }

  async #openSession({ store, owner }: Located): Promise<SessionLog> {
    try {
      return await store.open(owner.sessionId);
    } catch (error) {
      if (isWorkcellError(error) && error.code === 'not_found') throw gone(owner.executionId);
      throw error;
    }
  }
}

interface Located {
  readonly store: SessionStore;
  readonly owner: HistoryOwner;
  /** The byte of the log at which it starts. */
  readonly start: number;
}

/** Its events that are on disk. */
async function eventsOf({ store, owner, start }: Located): Promise<AsyncIterable<StoredEvent>> {
  const reader = await store.findReader(owner.sessionId);
  if (reader !== undefined) return reader.execution(owner.executionId, start);
  throw gone(owner.executionId);
}

async function placeOf(begun: Begun): Promise<{ readonly id: ExecutionId; readonly sessionId: SessionId }> {
  if ('live' in begun) return { id: begun.live.id, sessionId: await begun.live.started };
  const { executionId: id, sessionId } = begun.recorded.owner;
  return { id, sessionId };
}

async function assertRepeated(begun: Begun, request: ExecuteRequest): Promise<void> {
  const asked = 'live' in begun ? begun.live.asked : recordedAsk(begun.recorded.started);
  assertSameRequest(await placeOf(begun), request, asked);
}

function summarize(history: ExecutionHistory, isHeld: boolean): ExecutionSummary {
  const { executionId, sessionId } = history.owner;
  return {
    executionId,
    sessionId,
    state: history.state(isHeld),
    lastSeq: history.lastSeq,
    approvals: history.approvals,
    result: history.result() ?? null,
  };
}

function cutOff(): WorkcellError {
  return new WorkcellError('sandbox_lost', 'The process that ran the execution has ended; resume it to run it again');
}

function gone(id: ExecutionId): WorkcellError {
  return new WorkcellError('history_gone', `The session with the execution "${id}" was deleted`);
}
