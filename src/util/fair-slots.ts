import { WorkcellError } from '../core/errors.ts';
import { Deadline } from './deadline.ts';

export interface FairSlotsOptions {
  /** How many may be held at a time. */
  readonly slots: number;
  /** How many may wait, of all owners together. */
  readonly maxWaiting: number;
  readonly timeoutMs: number;
}

interface Waiter {
  readonly grant: (slot: Disposable) => void;
  readonly refuse: (error: WorkcellError) => void;
}

/**
 * Slots that many owners share. When none is free, the next goes to whoever holds the fewest of those who wait, and among these to
 * the one that has waited longest for a turn; so nobody can keep the others waiting, whatever they ask for.
 */
export class FairSlots {
  readonly #options: FairSlotsOptions;
  readonly #held = new Map<string, number>();
  /** In the order of their turns. */
  readonly #waiting = new Map<string, Waiter[]>();
  #free: number;
  #waiters = 0;

  constructor(options: FairSlotsOptions) {
    this.#options = options;
    this.#free = options.slots;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiters;
  }

  /**
   * A slot, to be disposed. Throws `busy` when too many wait already: then the newest of whoever has the most waiting gives way,
   * which may be this one. Throws `busy` when it does not come in time, too, and `cancelled`; one that is free is given to whoever asks.
   */
  async take(owner: string, signal?: AbortSignal): Promise<Disposable> {
    if (this.#free > 0) return this.#grant(owner);
    if (signal?.aborted === true) throw cancelled(signal);
    if (this.#waiters >= this.#options.maxWaiting && !this.#makeRoom(owner)) throw this.#busy('wait already');
    using deadline = new Deadline('Waiting for a turn', this.#options.timeoutMs, { signal });
    return await this.#wait(owner, deadline, signal);
  }

  async #wait(owner: string, deadline: Deadline, signal: AbortSignal | undefined): Promise<Disposable> {
    const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
    const waiter: Waiter = { grant: resolve, refuse: reject };
    const line = this.#waiting.get(owner) ?? [];
    this.#waiting.set(owner, line);
    line.push(waiter);
    this.#waiters += 1;
    const giveUp = () => {
      if (this.#leave(owner, waiter))
        reject(signal?.aborted === true ? cancelled(signal) : this.#busy('have waited for too long'));
    };
    deadline.signal.addEventListener('abort', giveUp, { once: true });
    try {
      return await promise;
    } finally {
      deadline.signal.removeEventListener('abort', giveUp);
    }
  }

  #grant(owner: string): Disposable {
    this.#free -= 1;
    this.#held.set(owner, (this.#held.get(owner) ?? 0) + 1);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const left = (this.#held.get(owner) ?? 1) - 1;
        if (left === 0) this.#held.delete(owner);
        else this.#held.set(owner, left);
        this.#free += 1;
        this.#grantNext();
      },
    };
  }

  #grantNext(): void {
    const owners = [...this.#waiting.keys()];
    const [first] = owners;
    if (first === undefined) return;
    const heldBy = (owner: string) => this.#held.get(owner) ?? 0;
    const next = owners.reduce((best, owner) => (heldBy(owner) < heldBy(best) ? owner : best), first);
    const line = this.#waiting.get(next) ?? [];
    const [waiter] = line;
    if (waiter === undefined) return;
    this.#leave(next, waiter);
    // Its next turn comes after those of the others.
    if (line.length > 0 && this.#waiting.delete(next)) this.#waiting.set(next, line);
    waiter.grant(this.#grant(next));
  }

  /** Whether there is room for one more of this owner, perhaps because another gave way. */
  #makeRoom(owner: string): boolean {
    const lengthOf = (line: readonly Waiter[] | undefined) => line?.length ?? 0;
    const [longest, line] = [...this.#waiting].reduce<[string, Waiter[]] | []>(
      (best, entry) => (lengthOf(entry[1]) > lengthOf(best[1]) ? entry : best),
      [],
    );
    const newest = line?.at(-1);
    if (longest === undefined || newest === undefined) return false;
    if (lengthOf(line) <= lengthOf(this.#waiting.get(owner)) + 1) return false;
    this.#leave(longest, newest);
    newest.refuse(this.#busy('wait already'));
    return true;
  }

  /** False when it waits no longer. */
  #leave(owner: string, waiter: Waiter): boolean {
    const line = this.#waiting.get(owner);
    const index = line?.indexOf(waiter) ?? -1;
    if (line === undefined || index === -1) return false;
    line.splice(index, 1);
    if (line.length === 0) this.#waiting.delete(owner);
    this.#waiters -= 1;
    return true;
  }

  #busy(why: string): WorkcellError {
    const { slots, maxWaiting } = this.#options;
    return new WorkcellError(
      'busy',
      `The server runs as many executions as it may (${slots}), and others ${why}; try again in a while`,
      { details: { limit: slots, maxWaiting, retryAfterMs: RETRY_AFTER_MS } },
    );
  }
}

const RETRY_AFTER_MS = 1_000;

function cancelled(signal: AbortSignal): WorkcellError {
  return new WorkcellError('cancelled', 'Waiting for a turn was cancelled', { cause: signal.reason });
}
