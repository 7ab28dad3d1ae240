import type { PendingApproval } from '../core/execution.ts';

export interface ApprovalHoldOptions {
  readonly holdMs: number;
  /** What waits for a decision at this moment. */
  readonly open: () => readonly PendingApproval[];
  /** How many calls of the program have no outcome yet, those that wait included. */
  readonly openCalls: () => number;
  /** Told, perhaps more than once, that the program was held for long enough, and does nothing but wait. */
  readonly onOver: () => void;
  /** The same of one that goes on beside its calls that wait. */
  readonly onBeside: () => void;
}

/** A program that waits for so long with all of its calls counts as paused. */
const MOMENT_MS = 250;

/** For how long a program is kept whose calls wait to be approved, and whether it does nothing else. */
export class ApprovalHold {
  readonly #options: ApprovalHoldOptions;
  readonly #paused = new Set<(approvals: readonly PendingApproval[]) => void>();
  #holdMs: number;
  #timer: NodeJS.Timeout | undefined;
  #since = 0;

  constructor(options: ApprovalHoldOptions) {
    this.#options = options;
    this.#holdMs = options.holdMs;
  }

  /** The first call begins to wait; end it with `stop`, after which it can begin anew. */
  start(): void {
    this.renew();
    this.#timer = setInterval(() => this.#look(), MOMENT_MS).unref();
  }

  /** Somebody has decided, so others may be about to. */
  renew(): void {
    this.#since = performance.now();
  }

  /** No program is kept for its calls any more, from now on. */
  forgo(): void {
    this.#holdMs = 0;
    this.#look();
  }

  /** Resolves with what is open when the program does nothing but wait for it, and has for a moment. */
  whenPaused(signal: AbortSignal): Promise<readonly PendingApproval[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly PendingApproval[]>();
    const leave = () => reject(signal.reason);
    if (signal.aborted) leave();
    else {
      signal.addEventListener('abort', leave, { once: true });
      this.#paused.add(resolve);
    }
    return promise.finally(() => {
      this.#paused.delete(resolve);
      signal.removeEventListener('abort', leave);
    });
  }

  /** No call waits any more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { onOver, onBeside } = this.#options;
    const open = this.#options.open();
    if (open.length === 0) return;
    const isPaused = open.length === this.#options.openCalls();
    if (isPaused) for (const resolve of this.#paused) resolve(open);
    if (performance.now() - this.#since < this.#holdMs) return;
    if (isPaused) onOver();
    else onBeside();
  }
}
