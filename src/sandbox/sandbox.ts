import type { Duplex } from 'node:stream';
import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import type { BootKind } from '../core/execution.ts';
import type { Principal } from '../core/principal.ts';
import type { CreateSandboxRequest, SandboxResponse, SandboxStatus } from '../protocol/rest.ts';
import { Deadline } from '../util/deadline.ts';
import type { Guest, GuestMetrics, SandboxDriver } from './driver.ts';
import { openNetwork } from './egress/open-network.ts';
import type { SecretValues } from './guest-secrets.ts';
import { setUpGuest } from './guest-setup.ts';
import { type GuestSpecContext, toGuestSpec, toNetwork } from './guest-spec.ts';
import { assertMove, canMove, isLive } from './lifecycle.ts';
import { AgentRelay, type RelayClient, type RelaySession } from './relay.ts';
import { SandboxLog } from './sandbox-log.ts';
import type { SandboxRecord } from './sandbox-store.ts';
import { SandboxTimers } from './sandbox-timers.ts';
import { describeSandbox } from './sandbox-view.ts';
import type { SpecReader } from './spec-view.ts';

/** Hands out the host's memory. */
export interface MemoryShares {
  /** Waits its turn until there is room, and gives what gives it back. Throws when the deadline ends first. */
  reserve(mib: number, deadline: Deadline): Promise<() => void>;
}

export interface SandboxContext extends GuestSpecContext {
  /** How long a guest may take to start, from when there is memory for it. */
  readonly bootTimeoutMs: number;
  /** How long a start may wait for memory. */
  readonly queueTimeoutMs: number;
  /** Absent: memory is not counted. */
  readonly budget?: MemoryShares | undefined;
  /** Whether guests are to outlive this process. */
  readonly survives: boolean;
  /** Told of what went wrong in the server itself. */
  readonly onProblem: (error: unknown) => void;
  /** Resolves when the record cannot be lost any more. */
  readonly save: (record: SandboxRecord) => Promise<void>;
  /** `by` is who asked for the change; undefined when nobody did. */
  readonly onStatus: (sandbox: Sandbox, by: Principal | undefined) => void;
  /** A start is over after so many milliseconds; `boot` is undefined when it has failed. */
  readonly onStart: (boot: BootKind | undefined, ms: number) => void;
  /** A guest has ended that had run since `startedAt`. */
  readonly onRunEnd: (record: SandboxRecord, startedAt: Date) => void;
}

const STOP_GRACE_MS = 5_000;
/** A driver that does not end a guest in this time has failed. */
const STOP_TIMEOUT_MS = 15_000;
/** How long a guest may take to end when its agent has. */
const AGENT_LOST_GRACE_MS = 1_000;

/** One sandbox: what is known of it, and the guest while there is one. */
export class Sandbox {
  readonly log = new SandboxLog();
  readonly #context: SandboxContext;
  readonly #driver: SandboxDriver;
  readonly #timers: SandboxTimers;
  readonly #secrets: SecretValues | undefined;
  #record: SandboxRecord;
  #reason: SandboxResponse['status_reason'] = null;
  #guest: Guest | undefined;
  /** Its named volumes, which cannot be removed meanwhile. */
  #uses: Disposable[] = [];
  #relay: AgentRelay | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #cancelStart = new AbortController();
  #runningSince: Date | undefined;
  /** Who asked for what is going on. */
  #by: Principal | undefined;

  /** `secrets` are what the record leaves out; without them the sandbox cannot be started, when it has any. */
  constructor(record: SandboxRecord, context: SandboxContext, secrets?: SecretValues) {
    this.#record = record;
    this.#secrets = secrets;
    this.#context = context;
    this.#driver = context.driver;
    this.#timers = new SandboxTimers(record.request.lifecycle, {
      onEnd: () => void this.end().catch(() => {}),
      onActive: (at) => this.#change({ activeAt: at.toISOString() }),
    });
  }

  get id(): string {
    return this.#record.id;
  }

  get record(): SandboxRecord {
    return this.#record;
  }

  get request(): CreateSandboxRequest {
    return this.#record.request;
  }

  get status(): SandboxStatus {
    return this.#record.status;
  }

  get isLive(): boolean {
    return isLive(this.status);
  }

  /** Begins to start; the state tells how it went. Throws `invalid_state`. */
  start(by?: Principal): void {
    this.#by = by;
    this.#move('starting', { failure: null });
    this.#cancelStart = new AbortController();
    this.#starting = this.#boot();
    this.#starting.catch(() => {});
  }

  /** Waits until a start has succeeded or failed, at most `timeoutMs`. */
  async waitUntilStarted(timeoutMs: number): Promise<void> {
    using deadline = new Deadline('Waiting for a sandbox', timeoutMs);
    await deadline.race(this.#starting ?? Promise.resolve()).catch(() => {});
  }

  /** Resolves when the guest is gone. Throws `invalid_state` when there is nothing to stop, `sandbox_lost` when it does not end. */
  stop(by?: Principal): Promise<void> {
    this.#by = by;
    this.#move('stopping');
    this.#stopping = this.#stop();
    return this.#stopping;
  }

  /** Like {@link stop}, from any state, also while it is stopping. */
  async end(by?: Principal): Promise<void> {
    if (this.status === 'stopping') await this.#stopping;
    else if (canMove(this.status, 'stopping')) await this.stop(by);
  }

  rename(names: { readonly name: string; readonly slug: string }): Promise<void> {
    return this.#change(names);
  }

  /** Takes the guest of an earlier process over; without one, says what has become of the sandbox. */
  async resume(): Promise<void> {
    const { status, guest: record, startedAt } = this.#record;
    if (!this.isLive) return;
    const wasStopping = status === 'stopping';
    try {
      if (record === undefined || record.driver !== this.#driver.name || !this.#driver.capabilities.adopts)
        throw new WorkcellError('sandbox_lost', 'The server has ended, and the sandbox with it; start it again');
      this.#record = { ...this.#record, status: 'starting' };
      await this.#takeOver(async (deadline) => {
        const guest = await this.#driver.adopt({ driver: record.driver, data: record.data }, deadline);
        if (guest !== undefined && status !== 'starting') return guest;
        if (guest !== undefined) {
          await end(guest);
          throw new WorkcellError('sandbox_lost', 'The server has ended while the sandbox started; start it again');
        }
        throw new WorkcellError('sandbox_lost', 'The sandbox was gone when the server came back; start it again');
      });
      this.#running(new Date(startedAt ?? Date.now()));
      if (wasStopping) await this.stop();
    } catch (error) {
      this.#record = { ...this.#record, status: wasStopping ? 'stopping' : 'starting' };
      if (wasStopping) this.#ended('stopped', null);
      else this.#ended('failed', this.#reasonOf(error));
    }
  }

  /** Throws `invalid_state` when it is not running, `busy` when it has too many clients. */
  attach(client: RelayClient): RelaySession {
    return this.relay.attach(client);
  }

  /** Throws `invalid_state` when it is not running. */
  get relay(): AgentRelay {
    if (this.#relay !== undefined && this.status === 'running') return this.#relay;
    throw new WorkcellError('invalid_state', `Sandbox "${this.#record.name}" is ${this.status}; start it first`);
  }

  /** Undefined when there is no guest to measure. */
  async metrics(): Promise<GuestMetrics | undefined> {
    return this.#guest?.metrics();
  }

  describe(reader?: SpecReader): SandboxResponse {
    return describeSandbox(this.#record, {
      driver: this.#driver,
      guest: this.#guest,
      reason: this.#reason,
      ...(reader === undefined ? {} : { reader }),
    });
  }

  async #boot(): Promise<void> {
    // A start that was given up may fail much later, when another one is going on.
    const attempt = this.#cancelStart;
    const isCurrent = () => this.#cancelStart === attempt && this.status === 'starting';
    const began = performance.now();
    const tell = (boot: BootKind | undefined) => this.#context.onStart(boot, performance.now() - began);
    try {
      // What has begun is on the disk before it begins, so that nothing runs that the next process does not know of.
      await this.#context.save(this.#record);
      await this.#takeOver(async (deadline) => {
        const spec = await toGuestSpec(this.#record, this.#context, this.#secrets);
        const booting = this.#driver.boot({ ...spec, ...(this.#context.survives ? { survives: true } : {}) }, deadline);
        return await deadline.race(booting, (late) => void late.stop(0).catch(() => {}));
      });
      if (!isCurrent()) return;
      this.#running(new Date());
      tell(this.#guest?.boot);
    } catch (error) {
      if (isCurrent()) {
        this.#ended('failed', this.#reasonOf(error));
        tell(undefined);
      }
      throw error;
    }
  }

  /** Memory, then the guest, then its agent, then what the request wants changed in it. */
  async #takeOver(getGuest: (deadline: Deadline) => Promise<Guest>): Promise<void> {
    const { name, request, guest: adopted } = this.#record;
    const signal = this.#cancelStart.signal;
    const giveBack = await this.#reserve(signal);
    this.#reason = 'scheduling';
    using deadline = new Deadline(`Starting sandbox "${name}"`, this.#context.bootTimeoutMs, { signal });
    const guest = await this.#obtain(() => getGuest(deadline)).catch((error) => {
      giveBack?.();
      throw error;
    });
    this.#guest = guest;
    void guest.exited.then(({ unexpected, reason }) => {
      giveBack?.();
      if (unexpected && this.#guest === guest) this.#ended('failed', `The sandbox ended by itself: ${reason}`);
    });
    try {
      const network = toNetwork(request, this.#context);
      if (network !== undefined) await openNetwork(guest, network, this.log, deadline);
      const agent = await deadline.race(guest.connectAgent(deadline), (late) => late.destroy());
      if (this.#guest !== guest) throw new WorkcellError('sandbox_lost', 'The sandbox ended while it started');
      this.#relay = this.#openRelay(agent, guest);
      if (adopted !== undefined) return;
      // A guest that outlives this process must be known to the next one before it is used.
      if (guest.record !== undefined) {
        await this.#change({ guest: guest.record });
        await guest.keep?.();
      }
      await setUpGuest(this.#relay, request, this.log, deadline);
    } catch (error) {
      await end(guest);
      throw error;
    }
  }

  #openRelay(agent: Duplex, guest: Guest): AgentRelay {
    return new AgentRelay(agent, {
      onActivity: () => this.#timers.touch(),
      onOutput: (source, session, data) => this.log.write(source, session, data),
      onSessionEnd: (session) => this.log.endSession(session),
      onEnd: () => void this.#loseAgent(guest),
    });
  }

  /** A guest without an agent is of no use to anybody. Mostly it is ending by itself, and then says why. */
  async #loseAgent(guest: Guest): Promise<void> {
    using deadline = new Deadline('Waiting for the end of a guest without an agent', AGENT_LOST_GRACE_MS);
    await deadline.race(guest.exited).catch(() => {});
    if (this.#guest !== guest || this.status !== 'running') return;
    using stopping = new Deadline('Ending a guest without an agent', STOP_TIMEOUT_MS);
    await stopping.race(guest.stop(0)).catch(() => {});
    if (this.#guest === guest) this.#ended('failed', 'The sandbox ended by itself: its agent broke off the connection');
  }

  /** Holds on to its volumes first. */
  async #obtain(getGuest: () => Promise<Guest>): Promise<Guest> {
    const { orgId, request } = this.#record;
    for (const mount of request.mounts)
      if (mount.type === 'named') this.#uses.push(this.#context.volumes.use(orgId, mount.name));
    return await getGuest();
  }

  async #reserve(signal: AbortSignal): Promise<(() => void) | undefined> {
    const { budget, queueTimeoutMs } = this.#context;
    if (budget === undefined) return undefined;
    this.#reason = 'insufficient_capacity';
    const what = `Waiting for memory for sandbox "${this.#record.name}"`;
    using deadline = new Deadline(what, queueTimeoutMs, { signal });
    return await deadline.race(budget.reserve(this.#record.request.resources.memory_mib, deadline), (late) => late());
  }

  #running(startedAt: Date): void {
    this.#reason = null;
    const { activeAt } = this.#record;
    this.#runningSince = startedAt;
    this.#move('running', { startedAt: startedAt.toISOString(), stoppedAt: null });
    this.#by = undefined;
    this.log.append('system', '--- sandbox started ---\n');
    this.#timers.arm(startedAt, activeAt === null ? startedAt : new Date(activeAt));
  }

  async #stop(): Promise<void> {
    using deadline = new Deadline(`Stopping sandbox "${this.#record.name}"`, STOP_TIMEOUT_MS);
    this.#cancelStart.abort();
    try {
      await deadline.race((this.#starting ?? Promise.resolve()).catch(() => {}));
      if (this.#guest !== undefined) await deadline.race(this.#guest.stop(STOP_GRACE_MS));
      this.#ended('stopped', null);
    } catch (cause) {
      this.#ended('failed', `The sandbox did not end: ${messageOf(cause)}`);
      throw new WorkcellError('sandbox_lost', `Sandbox "${this.#record.name}" did not end: ${messageOf(cause)}`, {
        cause,
      });
    }
  }

  #ended(status: 'stopped' | 'failed', failure: string | null): void {
    if (!this.isLive) return;
    this.#timers.disarm();
    this.#relay?.close(failure ?? 'The sandbox was stopped');
    this.#relay = undefined;
    this.#guest = undefined;
    for (const use of this.#uses.splice(0)) use[Symbol.dispose]();
    this.#reason = null;
    this.log.append('system', failure === null ? '--- sandbox stopped ---\n' : `--- sandbox failed: ${failure} ---\n`);
    const { guest: _, ...rest } = this.#record;
    this.#record = rest;
    if (this.#runningSince !== undefined) this.#context.onRunEnd(rest, this.#runningSince);
    this.#runningSince = undefined;
    this.#move(status, { failure, stoppedAt: new Date().toISOString(), activeAt: null });
    this.#by = undefined;
  }

  /** What nobody expected may speak of the host: of its paths, say. */
  #reasonOf(error: unknown): string {
    if (isWorkcellError(error)) return error.message;
    this.#context.onProblem(error);
    return 'The server failed to start the sandbox; its log says why';
  }

  /** Throws `invalid_state` when the table does not allow it. */
  #move(status: SandboxStatus, and: Partial<SandboxRecord> = {}): void {
    assertMove(this.#record.name, this.status, status);
    void this.#change({ ...and, status });
    this.log.wake();
    this.#context.onStatus(this, this.#by);
  }

  /** A change that cannot be kept is still a change: the next process finds the older state, and says so. */
  #change(change: Partial<SandboxRecord>): Promise<void> {
    this.#record = { ...this.#record, ...change };
    const saving = this.#context.save(this.#record);
    saving.catch(() => {});
    return saving;
  }
}

/** A guest that did not come up the whole way; how its end goes changes nothing. */
async function end(guest: Guest): Promise<void> {
  using deadline = new Deadline('Ending a guest that did not start', STOP_TIMEOUT_MS);
  await deadline.race(guest.stop(0)).catch(() => {});
}
