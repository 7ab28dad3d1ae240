import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type {
  ExecutionResult,
  ExecutionState,
  ExecutionSummary,
  HistoryEvent,
  RecordedResult,
} from '../core/execution.ts';
import { type ExecutionId, newExecutionId, parseExecutionId, type SessionId } from '../core/ids.ts';
import type { StoredEvent } from '../sessions/events.ts';
import { ExecutionHistory, readHistory } from '../sessions/execution-history.ts';
import { interruptedEvent, killedEvent } from '../sessions/outcome-event.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import { Deadline } from '../util/deadline.ts';
import { KeyedTurns } from '../util/keyed-turns.ts';
import { untilAborted } from '../util/until-aborted.ts';
import type { ExecuteRequest } from './execute-request.ts';
import { LiveExecution } from './live-execution.ts';
import { RecordedExecutions, type RecordedExecutionsOptions } from './recorded-executions.ts';
import { askedFor, assertSameRequest, recordedAsk } from './same-request.ts';
import { toExecutionResult } from './to-execution-result.ts';
import { type WatchOptions, watchExecution } from './watch-execution.ts';

/** An execution that was started, now or before. */
export interface StartedExecution {
  readonly id: ExecutionId;
  readonly sessionId: SessionId;
  /** False when the id was known already: nothing was started then. */
  readonly isNew: boolean;
  /** Resolves when it finishes; one that is paused may take its time. */
  result(): Promise<RecordedResult>;
}

/** What became of a request: an execution that this process runs, or one that is on disk. */
export type Begun =
  | { readonly isNew: boolean; readonly live: LiveExecution }
  | { readonly isNew: false; readonly recorded: ExecutionHistory };

type Run = (live: LiveExecution) => Promise<ExecutionResult>;
/** Is given the session of an execution, to write to, and what is on disk of it. */
type Decide<T> = (session: SessionLog, history: ExecutionHistory) => Promise<T>;
type Resume = (live: LiveExecution, ...recorded: Parameters<Decide<unknown>>) => Promise<ExecutionResult>;

export interface ExecutionsOptions extends RecordedExecutionsOptions {
  /** As `SessionStore.claim`, of the customer's sessions; made when there are none. */
  readonly claim: (id: ExecutionId, deadline: Deadline) => Promise<AsyncDisposable>;
}

/** How long an execution may wait for its turn in another process, and somebody else here for that. */
const CLAIM_TIMEOUT_MS = 30_000;

/** The executions of one customer: those that this process runs, and those that are on disk. */
export class Executions {
  readonly #customer: ExecutionsOptions['customer'];
  readonly #claim: ExecutionsOptions['claim'];
  readonly #recorded: RecordedExecutions;
  readonly #live = new Map<ExecutionId, LiveExecution>();
  /** Of those who decide what becomes of an execution, one at a time. */
  readonly #turns = new KeyedTurns();
  readonly #closed = new AbortController();

  constructor(options: ExecutionsOptions) {
    this.#customer = options.customer;
    this.#claim = options.claim;
    this.#recorded = new RecordedExecutions(options);
  }

  /** Those that this process runs. */
  get running(): ReadonlySet<string> {
    return new Set(this.#live.keys());
  }

  /** Where one stands; undefined when this process does not run it. */
  stateOf(id: ExecutionId): ExecutionState | undefined {
    return this.#live.get(id)?.history?.state(true);
  }

  /** Ends all waiting for what is still to come. Call when this process runs none any more. */
  close(): void {
    this.#closed.abort();
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
   * started with another request, `busy` when another process takes long to start it, and as `RecordedExecutions.find` does.
   */
  async begin(request: ExecuteRequest, run: Run): Promise<Begun> {
    if (request.executionId === undefined) return { isNew: true, live: this.run(request, run) };
    const id = parseExecutionId(request.executionId);
    const begun = await this.#turns.take(id, () => this.#findOrLaunch(id, request, run));
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

  /** What becomes of it. When it was known, `signal` ends the waiting for that, and not the execution: it throws `cancelled` then. */
  async outcome(begun: Begun, signal: AbortSignal | undefined): Promise<ExecutionResult> {
    if ('recorded' in begun)
      return toExecutionResult(await this.#result(begun.recorded.owner.executionId, begun, signal));
    const { live, isNew } = begun;
    if (!isNew) await untilAborted(live.outcome, signal);
    if (!isNew && signal?.aborted === true && !live.hasEnded) throw noLongerAwaited(live.id);
    return await live.outcome;
  }

  /**
   * Runs an execution on that nobody runs: `work` keeps its session until it ends. Throws as `RecordedExecutions.get` does,
   * `invalid_state` when this process runs it, and `busy` when another one does.
   */
  async resume(id: ExecutionId, work: Resume): Promise<LiveExecution> {
    return await this.#turns.take(id, async () => {
      const current = this.#live.get(id);
      // Its end can be watched before everything under it has been let go of.
      if (current?.history?.finished !== undefined) await current.outcome.catch(() => {});
      if (this.#live.has(id))
        throw new WorkcellError('invalid_state', `The execution "${id}" runs already; watch it instead`);
      const place = await this.#recorded.place(id);
      const session = await place.open();
      try {
        const history = await readHistory(place.owner, await place.events());
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
   * Decides about an execution that nobody runs, one at a time; undefined when this process runs it. Throws as
   * `RecordedExecutions.get` does, and `busy` when another process runs it.
   */
  async exclusively<T>(id: ExecutionId, decide: Decide<T>): Promise<T | undefined> {
    return await this.#turns.take(id, async () => {
      if (this.#live.has(id)) return undefined;
      const place = await this.#recorded.place(id);
      await using session = await place.open();
      return await decide(session, await readHistory(place.owner, await place.events()));
    });
  }

  /** As `watchExecution`; ends with {@link close}. */
  watch(id: ExecutionId, options: WatchOptions = {}): AsyncGenerator<HistoryEvent> {
    return watchExecution(id, options, {
      closed: this.#closed.signal,
      live: () => this.#findLive(id),
      place: () => this.#recorded.place(id),
      settle: async () => (await this.#settle(id)) === 'ended',
    });
  }

  /** Throws as `RecordedExecutions.get` does. */
  async summary(id: ExecutionId): Promise<ExecutionSummary> {
    const live = await this.#findLive(id);
    if (live?.history !== undefined) return summarize(live.history, true);
    const recorded = await this.recorded(id);
    if (recorded.finished !== undefined || recorded.state(false) === 'paused') return summarize(recorded, false);
    const settled = await this.#settle(id);
    return settled === 'held' ? summarize(recorded, true) : summarize(await this.recorded(id), false);
  }

  /** What is on disk of an execution. Throws as `RecordedExecutions.get` does. */
  recorded(id: ExecutionId): Promise<ExecutionHistory> {
    return this.#recorded.get(id);
  }

  /**
   * Ends an execution with `killed`, unless it has an outcome; resolves when that is on disk. One that waits for its turn is never
   * started, and leaves nothing. Throws as {@link exclusively} does.
   */
  async cancel(id: ExecutionId): Promise<void> {
    for (let live = this.#live.get(id); live !== undefined; live = this.#live.get(id)) {
      live.cancel();
      await live.outcome.catch(() => {});
      if (live.history === undefined) return;
    }
    const isDone = await this.exclusively(id, async (session, history) => {
      const isOver = history.finished !== undefined && history.finished.status !== 'interrupted';
      if (!isOver) await session.append(killedEvent(id, history.output));
      return true;
    });
    // It was started or resumed a moment ago.
    if (isDone === undefined) await this.cancel(id);
  }

  async #findOrLaunch(id: ExecutionId, request: ExecuteRequest, run: Run): Promise<Begun> {
    const known = this.#live.get(id);
    if (known !== undefined) return { isNew: false, live: known };
    // What another process is about to start is nowhere yet.
    const claim = await this.#awaitClaim(id, request.signal);
    try {
      const recorded = await this.#recorded.find(id);
      if (recorded === undefined) {
        const live = this.#launch(id, request, run);
        const letGo = () => claim[Symbol.asyncDispose]();
        live.started.then(letGo, letGo).catch(() => {});
        return { isNew: true, live };
      }
      await claim[Symbol.asyncDispose]();
      return { isNew: false, recorded };
    } catch (error) {
      await claim[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #awaitClaim(id: ExecutionId, signal: AbortSignal | undefined): Promise<AsyncDisposable> {
    const over = signal === undefined ? this.#closed.signal : AbortSignal.any([this.#closed.signal, signal]);
    using deadline = new Deadline(`Waiting for the start of the execution "${id}"`, CLAIM_TIMEOUT_MS, { signal: over });
    try {
      return await this.#claim(id, deadline);
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'deadline_exceeded') throw error;
      const message = `Another process has been about to start the execution "${id}" for ${CLAIM_TIMEOUT_MS / 1000} s; send the same request again`;
      throw new WorkcellError('busy', message, { cause: error });
    }
  }

  #launch(id: ExecutionId, request: ExecuteRequest, run: Run): LiveExecution {
    const newHistory = (sessionId: SessionId) =>
      new ExecutionHistory({ customer: this.#customer, sessionId, executionId: id });
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

  /**
   * Sees to it that an execution that was cut off has an end. `paused`: it waits for an approval, and needs none; `held`: somebody
   * runs it.
   */
  async #settle(id: ExecutionId): Promise<'ended' | 'paused' | 'held'> {
    try {
      const settled = await this.exclusively(id, async (session, history) => {
        if (history.finished !== undefined) return 'ended';
        if (history.state(false) === 'paused') return 'paused';
        await session.append(interruptedEvent(id, cutOff(), history.output));
        return 'ended';
      });
      return settled ?? 'held';
    } catch (error) {
      if (isWorkcellError(error) && error.code === 'busy') return 'held';
      throw error;
    }
  }

  async #result(id: ExecutionId, begun: Begun, signal?: AbortSignal): Promise<RecordedResult> {
    const known = 'live' in begun ? await begun.live.finished : begun.recorded.result();
    if (known !== undefined) return known;
    let last: RecordedResult | undefined;
    for await (const event of this.watch(id, { follow: true, signal })) {
      last = event.type === 'finished' ? event.result : undefined;
    }
    if (last !== undefined) return last;
    if (signal?.aborted === true) throw noLongerAwaited(id);
    throw new WorkcellError('cancelled', `This Workcell is closed, and the execution "${id}" has no outcome`);
  }
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

function noLongerAwaited(id: ExecutionId): WorkcellError {
  const message = `The execution "${id}" goes on, and is not waited for any more; ask for it again with the same id, or cancel it`;
  return new WorkcellError('cancelled', message);
}

function cutOff(): WorkcellError {
  return new WorkcellError('sandbox_lost', 'The process that ran the execution has ended; resume it to run it again');
}
