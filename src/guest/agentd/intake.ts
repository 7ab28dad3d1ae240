import type { AgentLink } from './agent-options.ts';

/** From here on nothing more is taken from the host, until half of it has been used. */
const PAUSE_BYTES = 8 * 1024 * 1024;
/** A link that cannot be paused may bring this much; then the one that holds most loses it. */
const LIMIT_BYTES = 64 * 1024 * 1024;
/** How long nothing of what is held may be used before the one that holds most loses it. */
const STALL_MS = 30_000;

/** Someone for whom data has come from the host and who has not used it yet. */
export interface Holder {
  /** Lets go of what it holds; its client is told. */
  giveUp(): void;
}

/**
 * Counts what has come for processes, files and connections and was not taken by them, for all clients together.
 *
 * The protocol has no flow control: when one does not read, either memory grows or the link stops for all. It stops, as
 * it does in the original; but not for ever, so that a signal for the process that does not read gets through.
 */
export class Intake {
  readonly #link: AgentLink;
  readonly #held = new Map<Holder, number>();
  #total = 0;
  #stall: NodeJS.Timeout | undefined;

  constructor(link: AgentLink) {
    this.#link = link;
  }

  hold(holder: Holder, bytes: number): void {
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + bytes);
    this.#total += bytes;
    if (this.#total > LIMIT_BYTES) this.#dropLargest();
    else if (this.#total > PAUSE_BYTES && this.#stall === undefined) this.#pause();
  }

  release(holder: Holder, bytes: number): void {
    const held = this.#held.get(holder);
    // It may have been forgotten, and what was on its way comes to an end afterwards.
    if (held === undefined) return;
    if (held > bytes) this.#held.set(holder, held - bytes);
    else this.#held.delete(holder);
    this.#total -= Math.min(held, bytes);
    if (this.#total <= PAUSE_BYTES / 2) this.#resume();
    else this.#stall?.refresh();
  }

  /** It holds nothing any more. */
  forget(holder: Holder): void {
    this.release(holder, Number.POSITIVE_INFINITY);
  }

  #pause(): void {
    this.#link.pause?.();
    this.#stall = setInterval(() => this.#dropLargest(), STALL_MS);
  }

  #resume(): void {
    if (this.#stall === undefined) return;
    clearInterval(this.#stall);
    this.#stall = undefined;
    this.#link.resume?.();
  }

  #dropLargest(): void {
    const [largest] = [...this.#held].sort(([, a], [, b]) => b - a);
    if (largest === undefined) return;
    this.forget(largest[0]);
    largest[0].giveUp();
  }
}
