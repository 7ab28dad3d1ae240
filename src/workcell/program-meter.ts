import type { ProgramClock } from '../executor/program-executor.ts';
import type { SharedTime } from '../util/shared-time.ts';

/**
 * Counts the time for which one program has its sandbox. Of the time that it waits for a person, only as much counts as the sandbox
 * uses its CPUs, if that can be measured, and never more than what no other program pays for.
 */
export class ProgramMeter {
  readonly #time: SharedTime;
  readonly #cpus: number;
  readonly #waits = new Set<() => void>();
  #stop: () => number;
  #usedMs = 0;
  #over = Promise.withResolvers<void>();
  #pauses: Promise<unknown> = Promise.resolve();

  /** The program runs from now on. `cpus`: of the sandbox. */
  constructor(time: SharedTime, cpus: number) {
    this.#time = time;
    this.#cpus = cpus;
    this.#stop = time.begin();
  }

  /** The program waits until what is returned is called, once or more often; of several waits, until the last is over. */
  pause(readCpu: ProgramClock['readCpu']): () => void {
    const end = () => {
      if (this.#waits.delete(end) && this.#waits.size === 0) this.#over.resolve();
    };
    this.#waits.add(end);
    if (this.#waits.size > 1) return end;
    this.#over = Promise.withResolvers();
    this.#pauses = Promise.all([this.#pauses, this.#pause(readCpu, this.#over.promise)]);
    return end;
  }

  /** The milliseconds that count. Call once. */
  async end(): Promise<number> {
    this.#over.resolve();
    await this.#pauses;
    return this.#usedMs + this.#stop();
  }

  async #pause(readCpu: ProgramClock['readCpu'], over: Promise<void>): Promise<void> {
    const isOver = over.then(() => undefined);
    // Until it is known what the sandbox has used before, all time counts.
    const before = await Promise.race([readCpu(), isOver]);
    if (before === undefined) return;
    this.#usedMs += this.#stop();
    const unusedMs = this.#time.unusedMs;
    await over;
    const aloneMs = this.#time.unusedMs - unusedMs;
    this.#stop = this.#time.begin();
    const after = await readCpu();
    this.#usedMs += after === undefined ? aloneMs : Math.min(aloneMs, Math.max(0, after - before) / this.#cpus);
  }
}
