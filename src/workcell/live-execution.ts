import type { ExecutionResult, HistoryEvent, RecordedResult } from '../core/execution.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import type { StoredEvent } from '../sessions/events.ts';
import type { ExecutionHistory } from '../sessions/execution-history.ts';
import type { AskedFor } from './same-request.ts';

export interface LiveExecutionOptions {
  readonly id: ExecutionId;
  /** Undefined when its log does not tell. */
  readonly asked: AskedFor | undefined;
  /** Ends the program, as {@link LiveExecution.cancel} does. */
  readonly signal?: AbortSignal | undefined;
  /** What is on disk of it, for one that is resumed. */
  readonly history?: ExecutionHistory | undefined;
  readonly newHistory: (session: SessionId) => ExecutionHistory;
}

/** Events, and UTF-16 units of their texts, that are kept for those who watch; who is further behind reads the log. */
const RECENT = { events: 256, text: 256 * 1024 };

/** An execution that this process runs. */
export class LiveExecution {
  readonly id: ExecutionId;
  readonly asked: AskedFor | undefined;
  /** Fires when the program is to be ended. */
  readonly signal: AbortSignal;
  readonly #newHistory: LiveExecutionOptions['newHistory'];
  readonly #stop = new AbortController();
  readonly #started = Promise.withResolvers<SessionId>();
  readonly #recent: HistoryEvent[] = [];
  #recentText = 0;
  #history: ExecutionHistory | undefined;
  #changed = Promise.withResolvers<void>();
  #outcome: Promise<ExecutionResult> | undefined;
  #hasEnded = false;

  constructor(options: LiveExecutionOptions) {
    const { id, asked, signal, history, newHistory } = options;
    this.id = id;
    this.asked = asked;
    this.signal = signal === undefined ? this.#stop.signal : AbortSignal.any([this.#stop.signal, signal]);
    this.#history = history;
    this.#newHistory = newHistory;
    this.#started.promise.catch(() => {});
  }

  /** Undefined until it has started. */
  get history(): ExecutionHistory | undefined {
    return this.#history;
  }

  /** Resolves with its session when the start is on disk; rejects when it does not come to that. */
  get started(): Promise<SessionId> {
    return this.#started.promise;
  }

  /** What became of {@link run}. Throws before that was called. */
  get outcome(): Promise<ExecutionResult> {
    if (this.#outcome === undefined) throw new Error('The execution does not run yet');
    return this.#outcome;
  }

  /** Resolves with its result once that is on disk; undefined when this process ends it without one. */
  get finished(): Promise<RecordedResult | undefined> {
    return this.#awaitEnd();
  }

  /** True when this process does not run it any more; everything that will be told of it has been told. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Call once. The outcome is that of `work`. */
  run(work: () => Promise<ExecutionResult>): Promise<ExecutionResult> {
    const ended = (error?: unknown) => {
      this.#hasEnded = true;
      this.#started.reject(error);
      this.#wake();
    };
    const outcome = work();
    this.#outcome = outcome;
    outcome.then(() => ended(), ended);
    return outcome;
  }

  cancel(): void {
    this.#stop.abort();
  }

  /** Takes the next event of its session that is on disk. */
  stored(session: SessionId, event: StoredEvent): void {
    this.#history ??= this.#newHistory(session);
    const told = this.#history.push(event);
    if (told === undefined) return;
    this.#recent.push(told);
    this.#recentText += textOf(told);
    while (this.#recent.length > RECENT.events || (this.#recentText > RECENT.text && this.#recent.length > 1))
      this.#recentText -= textOf(this.#recent.shift());
    this.#started.resolve(session);
    this.#wake();
  }

  /** The events after `seq`; undefined when some of them are not in memory any more. */
  recent(seq: number): readonly HistoryEvent[] | undefined {
    const lastSeq = this.#history?.lastSeq ?? 0;
    const missing = lastSeq - seq;
    if (missing <= 0) return [];
    return missing > this.#recent.length ? undefined : this.#recent.slice(-missing);
  }

  /** Resolves when there is another event, or it has ended. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  async #awaitEnd(): Promise<RecordedResult | undefined> {
    while (this.#history?.finished === undefined && !this.#hasEnded) await this.changed;
    return this.#history?.result();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

function textOf(event: HistoryEvent | undefined): number {
  return event !== undefined && 'text' in event ? event.text.length : 0;
}
