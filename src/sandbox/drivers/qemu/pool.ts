import { Deadline } from '../../../util/deadline.ts';
import type { GuestSpec, ImageSpec } from '../../driver.ts';
import type { PrimedGuest } from './primed-guest.ts';

export interface PoolOptions {
  /** How many guests wait. 0 waits with none. */
  readonly size: number;
  /** Waiting guests take their memory from it, and give it back when somebody else needs it. Default: no bound. */
  readonly budget?: PoolBudget;
  /** Whether its guests survive this process when they are claimed. Default false. */
  readonly survives?: boolean;
}

/** What the pool needs of a budget of memory. */
export interface PoolBudget {
  /** Gives what lets go of it again, or undefined when there is not enough. */
  tryReserve(mib: number): (() => void) | undefined;
  /** `reclaim` is asked to free something, and says whether it did. Gives what ends that. */
  addReclaimer(reclaim: () => Promise<boolean>): () => void;
}

/** What all guests of a pool are like. */
export interface PoolShape {
  readonly image: ImageSpec;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly survives: boolean;
}

/** Right after a claim the customer's first command runs; the next guest can wait that long. */
const REFILL_DELAY_MS = 500;
const LONGEST_BACKOFF_MS = 60_000;
const START_TIMEOUT_MS = 120_000;

/**
 * Guests that wait for a customer, so that a claim is all that a boot takes.
 *
 * It is refilled in the background: one guest at a time, and not while somebody waits for a boot. A guest that it has given
 * away never comes back.
 */
export class GuestPool {
  readonly #options: PoolOptions;
  readonly #shape: PoolShape;
  readonly #start: (deadline: Deadline) => Promise<PrimedGuest>;
  readonly #waiting = new Set<PrimedGuest>();
  readonly #closed = new AbortController();
  readonly #stopReclaiming: (() => void) | undefined;
  #boots = 0;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #filling: Promise<void> | undefined;

  constructor(shape: PoolShape, options: PoolOptions, start: (deadline: Deadline) => Promise<PrimedGuest>) {
    this.#shape = shape;
    this.#options = options;
    this.#start = start;
    this.#stopReclaiming = options.budget?.addReclaimer(() => this.#giveUpOne());
  }

  /** How many wait now. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Why a guest of this specification cannot come from here, whatever waits; undefined when it can. */
  bypass(spec: GuestSpec): string | undefined {
    const { image, cpus, memoryMib, survives } = this.#shape;
    if (spec.image.kind !== image.kind) {
      return `an image of kind "${spec.image.kind}" asked, the pool's guests have "${image.kind}"`;
    }
    if (spec.cpus !== cpus) return `${spec.cpus} CPUs asked, the pool's guests have ${cpus}`;
    if (spec.memoryMib !== memoryMib) return `${spec.memoryMib} MiB asked, the pool's guests have ${memoryMib}`;
    if ((spec.survives ?? false) !== survives) {
      return survives
        ? "a guest that ends with the server asked, the pool's guests survive it"
        : "a guest that survives the server asked, the pool's guests end with it";
    }
    return undefined;
  }

  /** One that waits, for good; undefined when none does. */
  take(): PrimedGuest | undefined {
    for (const guest of this.#waiting) {
      this.#waiting.delete(guest);
      if (!guest.gone) return guest;
    }
    return undefined;
  }

  /** While `boot` runs, no guest is started here. */
  async during<T>(boot: () => Promise<T>): Promise<T> {
    this.#boots += 1;
    try {
      return await boot();
    } finally {
      this.#boots -= 1;
      this.refill();
    }
  }

  /** Sees to it that soon as many wait as should. */
  refill(delayMs: number = REFILL_DELAY_MS): void {
    if (this.#closed.signal.aborted || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#filling ??= this.#fill().finally(() => {
        this.#filling = undefined;
      });
    }, delayMs).unref();
  }

  /** Ends the guests that wait. */
  async close(): Promise<void> {
    this.#closed.abort();
    clearTimeout(this.#timer);
    this.#stopReclaiming?.();
    await this.#filling;
    await Promise.all([...this.#waiting].map((guest) => guest.discard()));
  }

  async #fill(): Promise<void> {
    while (this.#waiting.size < this.#options.size && this.#boots === 0 && !this.#closed.signal.aborted) {
      const release =
        this.#options.budget === undefined ? () => {} : this.#options.budget.tryReserve(this.#shape.memoryMib);
      const guest = release === undefined ? undefined : await this.#startOne(release);
      if (guest === undefined) {
        this.#failures += 1;
        this.refill(Math.min(LONGEST_BACKOFF_MS, REFILL_DELAY_MS * 2 ** this.#failures));
        return;
      }
      this.#failures = 0;
    }
  }

  async #startOne(release: () => void): Promise<PrimedGuest | undefined> {
    using deadline = new Deadline('Starting a guest for the pool', START_TIMEOUT_MS, { signal: this.#closed.signal });
    try {
      const guest = await this.#start(deadline);
      this.#waiting.add(guest);
      void guest.ended.then(async () => {
        release();
        // One that died while it waited leaves its other half.
        if (this.#waiting.delete(guest)) await guest.discard();
        this.refill();
      });
      return guest;
    } catch {
      // Whoever boots a guest now learns why that fails.
      release();
      return undefined;
    }
  }

  async #giveUpOne(): Promise<boolean> {
    const guest = this.take();
    await guest?.discard();
    await guest?.ended;
    return guest !== undefined;
  }
}
