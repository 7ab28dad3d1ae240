import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import type { QuotaRules } from '../core/limits.ts';
import type { ProgramExecutor } from '../executor/program-executor.ts';
import { quotasOf } from '../guardrails/decide-quota.ts';
import { FairSlots } from '../util/fair-slots.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import { CpuLedger } from './cpu-ledger.ts';
import { CustomerQuota, type QuotaUsage, type Reservation, type RunningProgram } from './customer-quota.ts';
import { DiskMeter } from './disk-meter.ts';

export interface QuotasOptions {
  readonly rules: QuotaRules;
  /** Of a sandbox. */
  readonly cpus: number;
  /** Executions at once, over all customers. */
  readonly maxExecutions: number;
  /** Executions that may wait for their turn, and how long. */
  readonly maxQueued: number;
  readonly queueTimeoutMs: number;
  /** Throws when nothing may begin any more. */
  readonly assertAccepts: () => void;
  /** Told of each refusal: the name of the quota. */
  readonly onRefused: (quota: string) => void;
  /** Told when what was used could not be written down. */
  readonly onProblem: (customer: CustomerId, error: unknown) => void;
}

export interface Wish {
  /** How long its program may run. */
  readonly timeoutMs: number;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
}

/** An execution that may begin. */
export interface Admission extends AsyncDisposable {
  /**
   * Counts the time for which its program runs there. What holds of the execution then is its log alone, so it makes room for
   * the next: whoever learns of its end, and begins another, finds that room.
   */
  metered(executor: ProgramExecutor): ProgramExecutor;
  /** Makes room for the next; again it does nothing. Never rejects. */
  release(): Promise<void>;
}

const MAX_REMEMBERED = 1_000;
/** As long as a timer can be. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

interface Known {
  /** Of the workspace that it counts for; whoever comes after a removal starts at nothing. */
  readonly identity: string;
  readonly opening: Promise<CustomerQuota>;
}

/** What customers may use, each for itself and all together. */
export class CustomerQuotas {
  readonly #options: QuotasOptions;
  readonly #slots: FairSlots;
  readonly #customers = new Map<CustomerId, Known>();

  constructor(options: QuotasOptions) {
    const { maxExecutions, maxQueued, queueTimeoutMs } = options;
    this.#options = options;
    this.#slots = new FairSlots({ slots: maxExecutions, maxWaiting: maxQueued, timeoutMs: queueTimeoutMs });
  }

  /**
   * Lets an execution begin, perhaps after a wait for its turn. Throws as `assertWithinQuotas` does when the customer has no room
   * for it, at once, and `busy` when the server has none.
   */
  async admit(workspace: Workspace, { timeoutMs, signal }: Wish): Promise<Admission> {
    const { customer } = workspace;
    if (!(timeoutMs > 0))
      throw new WorkcellError('invalid_argument', `A timeout of ${timeoutMs} ms is none; give more than 0`);
    const reservation = await this.#reserve(workspace, Math.min(timeoutMs, MAX_TIMEOUT_MS));
    try {
      const slot = await this.#counted(() => this.#slots.take(customer, signal));
      return this.#admission(customer, reservation, slot);
    } catch (error) {
      reservation.cancel();
      throw error;
    }
  }

  /** Lets something begin that needs no sandbox, such as a call of one tool. Throws as `assertWithinQuotas` does. */
  async admitCall(workspace: Workspace): Promise<AsyncDisposable> {
    return this.#admission(workspace.customer, await this.#reserve(workspace, 0));
  }

  /** Counts bytes that are about to be written into the workspace. Throws as `assertWithinQuotas` does. */
  async admitBytes(workspace: Workspace, bytes: number): Promise<void> {
    const quota = await this.#quotaOf(workspace);
    await this.#counted(() => quota.admitBytes(bytes));
  }

  async usage(workspace: Workspace): Promise<QuotaUsage> {
    return await (await this.#quotaOf(workspace)).usage();
  }

  async #reserve(workspace: Workspace, timeoutMs: number): Promise<Reservation> {
    this.#options.assertAccepts();
    const quota = await this.#quotaOf(workspace);
    return await this.#counted(async () => {
      await quota.refresh();
      return quota.reserve(timeoutMs);
    });
  }

  #admission(customer: CustomerId, reservation: Reservation, slot?: Disposable): Admission {
    const release = async () => {
      slot?.[Symbol.dispose]();
      // What a program has done is not undone because it could not be counted.
      await reservation.release().catch((error) => this.#options.onProblem(customer, error));
    };
    return {
      metered: (executor) => metered(executor, reservation, release),
      release,
      [Symbol.asyncDispose]: release,
    };
  }

  #quotaOf(workspace: Workspace): Promise<CustomerQuota> {
    const { customer, identity } = workspace;
    const known = this.#customers.get(customer);
    if (known?.identity === identity) return known.opening;
    const fresh = { identity, opening: this.#open(workspace) };
    this.#customers.set(customer, fresh);
    fresh.opening.catch(() => {
      if (this.#customers.get(customer) === fresh) this.#customers.delete(customer);
    });
    if (this.#customers.size > MAX_REMEMBERED) void this.#forgetIdle(customer);
    return fresh.opening;
  }

  async #open(workspace: Workspace): Promise<CustomerQuota> {
    const { rules, cpus } = this.#options;
    const cpu = new CpuLedger(workspace.cpuPath);
    await cpu.load();
    return new CustomerQuota({
      limits: quotasOf(workspace.customer, rules),
      cpus,
      cpu,
      disk: new DiskMeter(workspace),
    });
  }

  async #forgetIdle(except: CustomerId): Promise<void> {
    for (const [customer, { opening }] of this.#customers) {
      const quota = await opening.catch(() => undefined);
      if (customer !== except && quota?.isIdle === true) this.#customers.delete(customer);
    }
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const name = refusedQuota(error);
      if (name !== undefined) this.#options.onRefused(name);
      throw error;
    }
  }
}

/** The name of what was refused; undefined for another failure. */
function refusedQuota(error: unknown): string | undefined {
  if (!isWorkcellError(error)) return undefined;
  if (error.code === 'busy') return 'maxExecutions';
  const { quota } = error.details;
  return typeof quota === 'string' ? quota : undefined;
}

function metered(executor: ProgramExecutor, reservation: Reservation, release: Admission['release']): ProgramExecutor {
  return {
    execute: async (request) => {
      let running: RunningProgram | undefined;
      try {
        return await executor.execute({
          ...request,
          // When the host has sent it there, whatever the guest says of its start.
          onSandbox: (sandbox) => {
            running ??= reservation.runs();
            request.onSandbox?.(sandbox);
          },
          onClock: (clock) => {
            const pause = () => {
              const [goOn, count] = [clock.pause(), running?.pause(clock.readCpu)];
              return () => {
                goOn();
                count?.();
              };
            };
            request.onClock?.({ ...clock, pause });
          },
        });
      } finally {
        await running?.end();
        await release();
      }
    },
    release: (customer, options) => executor.release(customer, options),
    // Whose it is, ends it.
    [Symbol.asyncDispose]: async () => {},
  };
}
