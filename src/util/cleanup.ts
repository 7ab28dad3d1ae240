type Step = () => void | Promise<void>;

/**
 * What has to be undone, last first.
 *
 * Runs once, whoever asks; a step that fails does not keep the others from running; a step added after the run runs at
 * once, so that nothing acquired late is forgotten.
 */
export class Cleanup implements AsyncDisposable {
  readonly #steps: Step[] = [];
  #running: Promise<void> | undefined;

  add(step: Step): void {
    this.#steps.push(step);
    if (this.#running === undefined) return;
    this.#running = this.#running.finally(() => this.#runAll());
    // Nobody has to wait for a late step; whoever asks again learns that it failed.
    this.#running.catch(() => {});
  }

  /** Rejects with an AggregateError when steps failed; all of them have run by then. */
  run(): Promise<void> {
    this.#running ??= this.#runAll();
    return this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.run();
  }

  async #runAll(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, `${errors.length} cleanup step(s) failed`);
  }
}
