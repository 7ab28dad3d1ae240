import type { Quotas } from '../core/limits.ts';
import { assertWithinQuotas, type QuotaClaim, type QuotaName } from '../guardrails/decide-quota.ts';
import { SharedTime } from '../util/shared-time.ts';
import { TokenBucket } from '../util/token-bucket.ts';
import type { CpuLedger } from './cpu-ledger.ts';
import type { DiskMeter } from './disk-meter.ts';
import { ProgramMeter } from './program-meter.ts';

export interface CustomerQuotaOptions {
  readonly limits: Quotas;
  /** That one sandbox of the customer has: the same for all of its programs. */
  readonly cpus: number;
  /** Loaded. */
  readonly cpu: CpuLedger;
  readonly disk: DiskMeter;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

/** What is used of each quota, and what is left; null where there is no limit. */
export type QuotaUsage = {
  readonly [Name in QuotaName]: {
    /** Null: nobody counts it, because there is no limit. */
    readonly used: number | null;
    readonly limit: number | null;
    readonly left: number | null;
  };
};

/** What one execution holds until it is released. */
export interface Reservation {
  /** Its program runs from now on. */
  runs(): RunningProgram;
  /** Gives everything back, and what was not used of the CPU time. Resolves when that is on disk. Again it does nothing. */
  release(): Promise<void>;
  /** As if it had not been reserved: for what has not begun. */
  cancel(): void;
}

/** A program whose time counts. */
export interface RunningProgram extends Pick<ProgramMeter, 'pause'> {
  /** Call once, before {@link Reservation.release}. */
  end(): Promise<void>;
}

/** How soon it is worth to ask again when somebody else has to end first. */
const SOON_MS = 1_000;
const MINUTE_MS = 60_000;

/**
 * What one customer uses of what it may. To reserve is one step, which nothing can come between: however many ask at the same
 * time, no more is given than there is.
 *
 * The CPU time of a program is the time for which it runs, times the CPUs of its sandbox; programs that run at the same time share
 * their sandbox, and that time; while it waits for a person, what the host measures. It is more than was used, and never less:
 * what a guest says of itself counts for nothing.
 */
export class CustomerQuota {
  readonly #options: CustomerQuotaOptions;
  readonly #bucket: TokenBucket;
  readonly #time: SharedTime;
  #executions = 0;
  #reservedCpuMs = 0;

  constructor(options: CustomerQuotaOptions) {
    const { limits, now } = options;
    const perMinute = limits.executionsPerMinute ?? Number.MAX_SAFE_INTEGER;
    const clock = now === undefined ? {} : { now };
    this.#options = options;
    this.#bucket = new TokenBucket({ capacity: perMinute, refillMs: MINUTE_MS / Math.max(1, perMinute), ...clock });
    this.#time = new SharedTime(now);
  }

  /** True when forgetting it would change nothing. */
  get isIdle(): boolean {
    return this.#executions === 0 && this.#bucket.taken === 0;
  }

  /** Room for an execution that runs so long at most; 0 for one without a sandbox. Throws as `assertWithinQuotas` does. */
  reserve(timeoutMs: number): Reservation {
    const { cpus, cpu } = this.#options;
    const wantedCpuMs = timeoutMs * cpus;
    assertWithinQuotas(this.#claims(wantedCpuMs));
    this.#executions += 1;
    this.#bucket.take();
    this.#reservedCpuMs += wantedCpuMs;
    let usedMs = 0;
    let released: Promise<void> | undefined;
    const letGo = () => {
      this.#executions -= 1;
      this.#reservedCpuMs -= wantedCpuMs;
    };
    const release = async () => {
      letGo();
      // In one step with that, so that what was used is never missing from both.
      if (usedMs > 0) await cpu.add(usedMs * cpus);
    };
    return {
      runs: () => {
        const meter = new ProgramMeter(this.#time, cpus);
        return {
          pause: (readCpu) => meter.pause(readCpu),
          end: async () => {
            usedMs += await meter.end();
          },
        };
      },
      release: () => {
        released ??= release();
        return released;
      },
      cancel: () => {
        if (released !== undefined) return;
        released = Promise.resolve();
        letGo();
        this.#bucket.giveBack();
      },
    };
  }

  /** Counts bytes that are about to be written. Throws as `assertWithinQuotas` does. */
  async admitBytes(bytes: number): Promise<void> {
    const { limits, disk } = this.#options;
    if (limits.diskBytes === undefined) return;
    await disk.refresh();
    assertWithinQuotas([{ quota: 'diskBytes', limit: limits.diskBytes, used: disk.bytes, wanted: bytes }]);
    disk.admit(bytes);
  }

  /** Looks at the files, where there is a limit on them; what {@link reserve} then knows. */
  async refresh(): Promise<void> {
    if (this.#options.limits.diskBytes !== undefined) await this.#options.disk.refresh();
  }

  async usage(): Promise<QuotaUsage> {
    await this.#options.disk.refresh();
    const rows = this.#claims(0).map(({ quota, used: exact, limit = null }) => {
      const used = Math.round(exact * 1000) / 1000;
      if (limit !== null) return [quota, { used, limit, left: Math.max(0, limit - used) }];
      return [quota, { used: quota === 'executionsPerMinute' ? null : used, limit, left: null }];
    });
    return Object.fromEntries(rows) as QuotaUsage;
  }

  #claims(wantedCpuMs: number): readonly QuotaClaim[] {
    const { limits, cpu, disk } = this.#options;
    const limitMs = (limits.cpuSecondsPerDay ?? 0) * 1000;
    const isTomorrow = cpu.usedMs + wantedCpuMs > limitMs;
    return [
      { quota: 'executions', limit: limits.executions, used: this.#executions, wanted: 1, retryAfterMs: SOON_MS },
      {
        quota: 'executionsPerMinute',
        limit: limits.executionsPerMinute,
        used: this.#bucket.taken,
        wanted: 1,
        retryAfterMs: this.#bucket.waitMs,
      },
      {
        quota: 'cpuSecondsPerDay',
        limit: limits.cpuSecondsPerDay,
        used: (cpu.usedMs + this.#reservedCpuMs) / 1000,
        wanted: wantedCpuMs / 1000,
        retryAfterMs: isTomorrow ? cpu.leftOfDayMs : SOON_MS,
      },
      { quota: 'diskBytes', limit: limits.diskBytes, used: disk.bytes, wanted: 0 },
    ];
  }
}
