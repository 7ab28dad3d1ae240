export interface TokenBucketOptions {
  /** How many there are at most; it starts full. */
  readonly capacity: number;
  /** How long one takes to come back. */
  readonly refillMs: number;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

/** So many at once, and then one at a time: a limit on how often something is done. */
export class TokenBucket {
  readonly #capacity: number;
  readonly #refillMs: number;
  readonly #now: () => number;
  /** How long it would take until it is full. */
  #owedMs = 0;
  #at: number;

  constructor({ capacity, refillMs, now = () => performance.now() }: TokenBucketOptions) {
    this.#capacity = capacity;
    this.#refillMs = refillMs;
    this.#now = now;
    this.#at = now();
  }

  /** How many are gone, a part of one counted as one. */
  get taken(): number {
    this.#refill();
    return Math.ceil(this.#owedMs / this.#refillMs);
  }

  /** Milliseconds until there is one; 0 when there is. Infinite when there never is. */
  get waitMs(): number {
    this.#refill();
    if (this.#capacity < 1) return Number.POSITIVE_INFINITY;
    return Math.max(0, Math.ceil(this.#owedMs - (this.#capacity - 1) * this.#refillMs));
  }

  /** Takes one; call it when {@link waitMs} is 0, in the same step. */
  take(): void {
    this.#refill();
    this.#owedMs += this.#refillMs;
  }

  /** Gives back one that was taken for nothing. */
  giveBack(): void {
    this.#refill();
    this.#owedMs = Math.max(0, this.#owedMs - this.#refillMs);
  }

  #refill(): void {
    const now = this.#now();
    this.#owedMs = Math.max(0, this.#owedMs - (now - this.#at));
    this.#at = now;
  }
}
