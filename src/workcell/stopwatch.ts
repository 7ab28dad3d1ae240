/** Milliseconds of each phase and of all of them, to a tenth. */
export class Stopwatch {
  readonly #started = performance.now();
  #last = this.#started;

  /** Since the last lap, or the start. */
  lap(): number {
    const since = this.#last;
    this.#last = performance.now();
    return tenth(this.#last - since);
  }

  total(): number {
    return tenth(performance.now() - this.#started);
  }
}

export function tenth(ms: number): number {
  return Math.round(ms * 10) / 10;
}
