export interface BreakerOptions {
  /** Failures in a row that open it; default 3. */
  readonly failures?: number;
  /** How long it stays open the first time; doubles with each time that follows without a success. Default 1 s. */
  readonly coolMs?: number;
  /** Default 60 s. */
  readonly maxCoolMs?: number;
  readonly now?: () => number;
  /** From 0 to 1. */
  readonly random?: () => number;
}

export type BreakerState = 'closed' | 'open' | 'half_open';

/** `probe`: the one request that finds out; whoever has it tells how it went, or gives it back with `abandoned`. */
export type Admission = 'normal' | 'probe' | 'refused';

/**
 * Keeps a server that fails from being asked again and again.
 *
 * Closed until a number of transport failures in a row; then open, so that nobody waits for what is known to fail; after a
 * while one request finds out whether the server is back. Any answer closes it.
 */
export class Breaker {
  readonly #options: Required<BreakerOptions>;
  #state: BreakerState = 'closed';
  #failures = 0;
  #openings = 0;
  #coolUntil = 0;

  constructor(options: BreakerOptions = {}) {
    const { failures = 3, coolMs = 1_000, maxCoolMs = 60_000, now = performance.now.bind(performance) } = options;
    this.#options = { failures, coolMs, maxCoolMs, now, random: options.random ?? Math.random };
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Milliseconds until a probe is let through; 0 when requests are let through. */
  get retryInMs(): number {
    return this.#state === 'open' ? Math.max(0, this.#coolUntil - this.#options.now()) : 0;
  }

  admit(): Admission {
    if (this.#state === 'closed') return 'normal';
    if (this.#state === 'half_open' || this.retryInMs > 0) return 'refused';
    this.#state = 'half_open';
    return 'probe';
  }

  /** The server answered, whatever it said. */
  succeeded(): void {
    this.#state = 'closed';
    this.#failures = 0;
    this.#openings = 0;
  }

  /** A transport failed: the server could not be reached, or went away. */
  failed(): void {
    this.#failures += 1;
    if (this.#state === 'half_open' || (this.#state === 'closed' && this.#failures >= this.#options.failures)) {
      this.#open();
    }
  }

  /** The probe ended without telling anything; the next request is one. */
  abandoned(): void {
    if (this.#state !== 'half_open') return;
    this.#state = 'open';
    this.#coolUntil = this.#options.now();
  }

  #open(): void {
    const { coolMs, maxCoolMs, now, random } = this.#options;
    this.#state = 'open';
    this.#coolUntil = now() + backoff(this.#openings, coolMs, maxCoolMs, random());
    this.#openings += 1;
  }
}

/** `firstMs` doubled for each attempt before, at most `maxMs`, less up to a half, so that many do not come back at once. */
export function backoff(attempt: number, firstMs: number, maxMs: number, random: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30)) * (1 - random / 2);
}
