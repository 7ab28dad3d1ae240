import { WorkcellError } from '../core/errors.ts';

export interface DeadlineOptions {
  /** Ends the deadline early; its reason becomes the `cause`. */
  readonly signal?: AbortSignal | undefined;
}

/** Timers of more milliseconds fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * One bound on a piece of work, handed down through every call that belongs to it.
 *
 * It ends when its time is up (`deadline_exceeded`) or when the caller's signal aborts (`cancelled`). `signal` fires in
 * both cases. Dispose it when the work is over, so that its timer does not keep the process alive.
 */
export class Deadline implements Disposable {
  readonly signal: AbortSignal;
  readonly #what: string;
  readonly #timeoutMs: number;
  readonly #controller = new AbortController();
  readonly #unlink: () => void;
  /** What is left, or was when time last began to run. */
  #leftMs: number;
  #runsSince = performance.now();
  #pauses = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `what` finishes the sentence "… took longer than 5 s": `Starting sandbox "x"`. */
  constructor(what: string, timeoutMs: number, options: DeadlineOptions = {}) {
    this.#what = what;
    this.#timeoutMs = timeoutMs;
    this.#leftMs = Math.max(0, timeoutMs);
    this.signal = this.#controller.signal;
    this.#startTimer();
    this.#unlink = this.#follow(options.signal);
  }

  /** A part of this work with its own bound; never later than its parent. */
  child(what: string, timeoutMs: number): Deadline {
    return new Deadline(what, Math.min(timeoutMs, this.remainingMs), { signal: this.signal });
  }

  get remainingMs(): number {
    const ran = this.#pauses > 0 ? 0 : performance.now() - this.#runsSince;
    return Math.max(0, this.#leftMs - ran);
  }

  /**
   * Lets time stand still until what it gives is called, once or more often; of several pauses, until the last is over. Parts
   * that were made before go on with their own time.
   */
  pause(): () => void {
    this.#leftMs = this.remainingMs;
    this.#pauses += 1;
    clearTimeout(this.#timer);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#pauses -= 1;
      if (this.#pauses > 0) return;
      this.#runsSince = performance.now();
      if (this.#timer !== undefined) this.#startTimer();
    };
  }

  /** Throws when the deadline has ended. */
  check(): void {
    if (this.signal.aborted) throw this.signal.reason;
  }

  /**
   * Waits for `work` until the deadline ends. Work that finishes later is given to `late`, which must let go of what it
   * holds: giving up the wait is not giving up the work.
   */
  async race<T>(work: Promise<T>, late?: (value: T) => void): Promise<T> {
    const ended = Promise.withResolvers<never>();
    const onAbort = () => ended.reject(this.signal.reason);
    if (this.signal.aborted) onAbort();
    else this.signal.addEventListener('abort', onAbort, { once: true });
    let settled = false;
    try {
      const value = await Promise.race([work, ended.promise]);
      settled = true;
      return value;
    } finally {
      this.signal.removeEventListener('abort', onAbort);
      ended.promise.catch(() => {});
      if (!settled) work.then(late, () => {});
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#unlink();
  }

  #startTimer(): void {
    this.#timer = setTimeout(() => this.#expire(), Math.min(this.#leftMs, MAX_TIMER_MS));
  }

  #expire(): void {
    const seconds = (this.#timeoutMs / 1000).toFixed(1);
    this.#controller.abort(new WorkcellError('deadline_exceeded', `${this.#what} took longer than ${seconds} s`));
  }

  #follow(outer: AbortSignal | undefined): () => void {
    if (outer === undefined) return () => {};
    const abort = () => this.#controller.abort(this.#reasonOf(outer));
    if (outer.aborted) {
      abort();
      return () => {};
    }
    outer.addEventListener('abort', abort, { once: true });
    return () => outer.removeEventListener('abort', abort);
  }

  #reasonOf(outer: AbortSignal): WorkcellError {
    if (outer.reason instanceof WorkcellError) return outer.reason;
    return new WorkcellError('cancelled', `${this.#what} was cancelled`, { cause: outer.reason });
  }
}

/** Calls `probe` until it gives something other than undefined, every `everyMs`, until the deadline ends. */
export async function poll<T>(
  deadline: Deadline,
  probe: () => Promise<T | undefined> | T | undefined,
  everyMs = 5,
): Promise<T> {
  for (;;) {
    deadline.check();
    const found = await probe();
    if (found !== undefined) return found;
    await deadline.race(new Promise((resolve) => setTimeout(resolve, everyMs)));
  }
}
