/** Of one guest. A package manager that opens all its connections at once stays below. */
export const LOOKUPS = { atOnce: 8, waiting: 64, perSecond: 100 } as const;

const SECOND_MS = 1_000;

/**
 * Bounds the names that one guest has looked up: each carries something out, and takes one of the few threads that all
 * guests and files share. Those over the bound at a time wait for their turn.
 */
export class LookupLimit {
  readonly #now: () => number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #second = Number.NEGATIVE_INFINITY;
  #begun = 0;

  /** `now` tells the time in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Undefined, without a lookup, when this guest asks for too many. */
  async run<T>(lookUp: () => Promise<T>): Promise<T | undefined> {
    if (this.#waiting.length >= LOOKUPS.waiting || !this.#isInTime()) return undefined;
    if (this.#running >= LOOKUPS.atOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await lookUp();
    } finally {
      // Whoever waits takes this place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  #isInTime(): boolean {
    const now = this.#now();
    if (now - this.#second >= SECOND_MS) {
      this.#second = now;
      this.#begun = 0;
    }
    this.#begun += 1;
    return this.#begun <= LOOKUPS.perSecond;
  }
}
