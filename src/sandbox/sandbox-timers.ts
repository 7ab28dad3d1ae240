import type { CreateSandboxRequest } from '../protocol/rest.ts';

export interface SandboxTimersOptions {
  /** The sandbox has lived or idled for as long as it may. */
  readonly onEnd: () => void;
  /** Now and then while it is used, when there is a limit on idling. */
  readonly onActive: (at: Date) => void;
}

/** How exactly the time of the last use is known after a restart of the server. */
const REPORT_EVERY_MS = 10_000;

/** Ends a sandbox when its time is up or nobody uses it. Neither timer keeps the process alive. */
export class SandboxTimers {
  readonly #idleMs: number;
  readonly #lifeMs: number;
  readonly #options: SandboxTimersOptions;
  #life: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  #activeAt = 0;
  #reportedAt = 0;

  constructor(lifecycle: CreateSandboxRequest['lifecycle'], options: SandboxTimersOptions) {
    this.#idleMs = (lifecycle.idle_timeout_secs ?? 0) * 1000;
    this.#lifeMs = (lifecycle.max_duration_secs ?? 0) * 1000;
    this.#options = options;
  }

  /** From here on time counts; both dates may lie in the past. */
  arm(startedAt: Date, activeAt: Date): void {
    this.disarm();
    const now = Date.now();
    this.#activeAt = activeAt.getTime();
    this.#reportedAt = now;
    if (this.#lifeMs > 0) this.#life = after(startedAt.getTime() + this.#lifeMs - now, this.#options.onEnd);
    if (this.#idleMs > 0) this.#idle = after(this.#activeAt + this.#idleMs - now, () => this.#endIfIdle());
  }

  /** The sandbox is being used. Cheap: called for every frame. */
  touch(): void {
    if (this.#idle === undefined) return;
    this.#activeAt = Date.now();
    if (this.#activeAt - this.#reportedAt < REPORT_EVERY_MS) return;
    this.#reportedAt = this.#activeAt;
    this.#options.onActive(new Date(this.#activeAt));
  }

  disarm(): void {
    clearTimeout(this.#life);
    clearTimeout(this.#idle);
    this.#life = undefined;
    this.#idle = undefined;
  }

  #endIfIdle(): void {
    const left = this.#activeAt + this.#idleMs - Date.now();
    if (left <= 0) this.#options.onEnd();
    else this.#idle = after(left, () => this.#endIfIdle());
  }
}

function after(ms: number, work: () => void): NodeJS.Timeout {
  return setTimeout(work, Math.max(0, ms)).unref();
}
