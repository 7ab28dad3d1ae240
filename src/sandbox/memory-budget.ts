import { WorkcellError } from '../core/errors.ts';
import type { Deadline } from '../util/deadline.ts';

interface Waiter {
  readonly mib: number;
  readonly grant: () => void;
}

type Reclaimer = () => Promise<boolean>;

/**
 * Bounds the memory of all guests together. Whoever finds too little free waits for its turn: first come, first served, so
 * that small requests do not keep a large one waiting for ever.
 */
export class MemoryBudget {
  readonly ceilingMib: number;
  readonly #reclaimers = new Set<Reclaimer>();
  readonly #waiters: Waiter[] = [];
  #reservedMib = 0;
  #reclaiming = false;

  constructor(ceilingMib: number) {
    this.ceilingMib = ceilingMib;
  }

  get reservedMib(): number {
    return this.#reservedMib;
  }

  /** How many wait for memory. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /**
   * Waits until all of it is free, and gives what lets go of it again, which may be called more than once. Throws
   * `invalid_argument` at once when it can never be free, and what the deadline throws when that is over first.
   */
  async reserve(mib: number, deadline: Deadline): Promise<() => void> {
    if (mib > this.ceilingMib) {
      const message = `Cannot reserve ${mib} MiB: all sandboxes together may have ${this.ceilingMib} MiB; ask for less memory`;
      throw new WorkcellError('invalid_argument', message);
    }
    deadline.check();
    const now = this.tryReserve(mib);
    if (now !== undefined) return now;
    const granted = Promise.withResolvers<() => void>();
    const waiter = { mib, grant: () => granted.resolve(this.#take(mib)) };
    this.#waiters.push(waiter);
    void this.#reclaim();
    try {
      return await deadline.race(granted.promise, (release) => release());
    } finally {
      const at = this.#waiters.indexOf(waiter);
      if (at >= 0) this.#waiters.splice(at, 1);
      this.#serve();
    }
  }

  /** Undefined when it is not free now, or when others wait already. */
  tryReserve(mib: number): (() => void) | undefined {
    return this.#waiters.length === 0 && this.#fits(mib) ? this.#take(mib) : undefined;
  }

  /**
   * `reclaim` is called while somebody waits; it frees something that is only kept in store, and says whether it did. Gives
   * what ends that.
   */
  addReclaimer(reclaim: Reclaimer): () => void {
    this.#reclaimers.add(reclaim);
    return () => this.#reclaimers.delete(reclaim);
  }

  #fits(mib: number): boolean {
    return this.#reservedMib + mib <= this.ceilingMib;
  }

  #take(mib: number): () => void {
    this.#reservedMib += mib;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#reservedMib -= mib;
      this.#serve();
    };
  }

  #serve(): void {
    for (let next = this.#waiters[0]; next !== undefined && this.#fits(next.mib); next = this.#waiters[0]) {
      this.#waiters.shift();
      next.grant();
    }
  }

  async #reclaim(): Promise<void> {
    if (this.#reclaiming) return;
    this.#reclaiming = true;
    try {
      while (this.#waiters.length > 0 && (await this.#reclaimOne())) {
        // One after the other, and only while somebody still waits.
      }
    } finally {
      this.#reclaiming = false;
    }
  }

  async #reclaimOne(): Promise<boolean> {
    for (const reclaim of this.#reclaimers) if (await reclaim().catch(() => false)) return true;
    return false;
  }
}
