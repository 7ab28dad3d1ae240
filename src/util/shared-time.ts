/** Tells several who use one thing at the same time how much of its time each has had: together never more than has passed. */
export class SharedTime {
  readonly #now: () => number;
  /** What one has had who was there from the beginning. */
  #share = 0;
  #unused = 0;
  #users = 0;
  #at: number;

  /** `now`: milliseconds that never go back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#at = now();
  }

  /** The milliseconds in which nobody used it. */
  get unusedMs(): number {
    this.#advance();
    return this.#unused;
  }

  /** From now on somebody more uses it; what is returned ends that, and tells their milliseconds. Call it once. */
  begin(): () => number {
    this.#advance();
    this.#users += 1;
    const before = this.#share;
    return () => {
      this.#advance();
      this.#users -= 1;
      return this.#share - before;
    };
  }

  #advance(): void {
    const now = this.#now();
    if (this.#users > 0) this.#share += (now - this.#at) / this.#users;
    else this.#unused += now - this.#at;
    this.#at = now;
  }
}
