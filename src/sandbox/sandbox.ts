import { randomUUID } from 'node:crypto';
import { messageOf, WorkcellError } from '../core/errors.ts';
import type { CreateSandboxRequest, SandboxResponse, SandboxStatus } from '../protocol/rest.ts';
import { Deadline } from '../util/deadline.ts';
import type { Guest, GuestMetrics, SandboxDriver } from './driver.ts';
import { type GuestSpecContext, toGuestSpec } from './guest-spec.ts';
import { assertMove } from './lifecycle.ts';
import { AgentRelay, type RelayClient, type RelaySession } from './relay.ts';

export interface SandboxOptions extends GuestSpecContext {
  readonly orgId: string;
  readonly bootTimeoutMs: number;
  /** Called once, when an ephemeral sandbox has ended. */
  readonly onEphemeralEnd: () => void;
}

const STOP_GRACE_MS = 5_000;

/** One sandbox: its request, its state, and the guest while there is one. */
export class Sandbox {
  readonly id: string = randomUUID();
  readonly request: CreateSandboxRequest;
  readonly #options: SandboxOptions;
  readonly #driver: SandboxDriver;
  readonly #createdAt = new Date();
  #status: SandboxStatus = 'created';
  #startedAt: Date | null = null;
  #stoppedAt: Date | null = null;
  #failure: string | null = null;
  #guest: Guest | undefined;
  #relay: AgentRelay | undefined;
  #starting: Promise<void> | undefined;
  #cancelStart = new AbortController();
  #lifeTimer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(request: CreateSandboxRequest, options: SandboxOptions) {
    this.request = request;
    this.#options = options;
    this.#driver = options.driver;
  }

  get status(): SandboxStatus {
    return this.#status;
  }

  /** Begins to start; the state tells how it went. Throws `invalid_state`, or what the request asks for in vain. */
  async start(): Promise<void> {
    assertMove(this.request.name, this.#status, 'starting');
    this.#status = 'starting';
    this.#failure = null;
    this.#cancelStart = new AbortController();
    this.#starting = this.#boot();
    this.#starting.catch(() => {});
  }

  /** Waits until a start has succeeded or failed, at most `timeoutMs`. */
  async waitUntilStarted(timeoutMs: number): Promise<void> {
    using deadline = new Deadline('Waiting for a sandbox', timeoutMs);
    await deadline.race(this.#starting ?? Promise.resolve()).catch(() => {});
  }

  /** Resolves when the guest is gone. Throws `invalid_state` when there is nothing to stop. */
  async stop(): Promise<void> {
    assertMove(this.request.name, this.#status, 'stopping');
    this.#status = 'stopping';
    this.#cancelStart.abort();
    await this.#starting?.catch(() => {});
    await this.#guest?.stop(STOP_GRACE_MS);
    this.#ended('stopped', null);
  }

  /** Like {@link stop}, from any state. */
  async end(): Promise<void> {
    if (this.#status === 'starting' || this.#status === 'running') await this.stop();
  }

  /** Throws `invalid_state` when it is not running, `busy` when it has too many clients. */
  attach(client: RelayClient): RelaySession {
    const session = this.relay.attach(client);
    if (session === undefined) throw new WorkcellError('busy', `Sandbox "${this.request.name}" has too many clients`);
    return session;
  }

  /** Throws `invalid_state` when it is not running. */
  get relay(): AgentRelay {
    if (this.#relay !== undefined) return this.#relay;
    throw new WorkcellError('invalid_state', `Sandbox "${this.request.name}" is ${this.#status}; start it first`);
  }

  /** Undefined when there is no guest to measure. */
  async metrics(): Promise<GuestMetrics | undefined> {
    return this.#guest?.metrics();
  }

  describe(): SandboxResponse {
    const { name, lifecycle } = this.request;
    return {
      id: this.id,
      org_id: this.#options.orgId,
      name,
      slug: this.request.slug ?? name.toLowerCase(),
      status: this.#status,
      status_reason: null,
      ephemeral: lifecycle.ephemeral,
      created_at: this.#createdAt.toISOString(),
      started_at: this.#startedAt?.toISOString() ?? null,
      stopped_at: this.#stoppedAt?.toISOString() ?? null,
      last_failure_message: this.#failure,
      spec: describeSpec(this.request),
      driver: this.#driver.name,
      isolation: this.#driver.isolation,
      boot: this.#guest?.boot ?? null,
    };
  }

  async #boot(): Promise<void> {
    using deadline = new Deadline(`Starting sandbox "${this.request.name}"`, this.#options.bootTimeoutMs, {
      signal: this.#cancelStart.signal,
    });
    try {
      const spec = await toGuestSpec(this.id, this.request, this.#options);
      const guest = await this.#driver.boot(spec, deadline);
      this.#guest = guest;
      void guest.exited.then(({ unexpected, reason }) => {
        if (unexpected) this.#ended('failed', `The sandbox ended by itself: ${reason}`);
      });
      this.#relay = new AgentRelay(await guest.connectAgent(deadline), () => this.#touch());
      if (this.#status !== 'starting') return;
      this.#status = 'running';
      this.#startedAt = new Date();
      this.#stoppedAt = null;
      this.#armTimers();
    } catch (error) {
      await this.#guest?.stop(0);
      if (this.#status === 'starting') this.#ended('failed', messageOf(error));
      throw error;
    }
  }

  #ended(status: 'stopped' | 'failed', failure: string | null): void {
    if (this.#status === 'stopped' || this.#status === 'failed') return;
    this.#status = status;
    this.#failure = failure;
    this.#stoppedAt = new Date();
    clearTimeout(this.#lifeTimer);
    clearTimeout(this.#idleTimer);
    this.#idleTimer = undefined;
    this.#relay?.close(failure ?? 'The sandbox was stopped');
    this.#relay = undefined;
    this.#guest = undefined;
    if (this.request.lifecycle.ephemeral) this.#options.onEphemeralEnd();
  }

  #armTimers(): void {
    const { max_duration_secs: seconds } = this.request.lifecycle;
    if (seconds) this.#lifeTimer = setTimeout(() => void this.end().catch(() => {}), seconds * 1000).unref();
    this.#touch();
  }

  #touch(): void {
    const { idle_timeout_secs: seconds } = this.request.lifecycle;
    if (!seconds) return;
    if (this.#idleTimer === undefined)
      this.#idleTimer = setTimeout(() => void this.end().catch(() => {}), seconds * 1000).unref();
    else this.#idleTimer.refresh();
  }
}

/** What is told of a request: never where on the host something lies, never a value that could be a secret's. */
function describeSpec(request: CreateSandboxRequest): unknown {
  return {
    image: request.image.reference,
    resources: request.resources,
    runtime: request.runtime,
    env: request.env.map(({ key }) => ({ key, value: '[redacted]' })),
    labels: request.labels,
    rlimits: [],
    lifecycle: request.lifecycle,
    mounts: request.mounts.map(({ type, guest, options }) => ({ type: MOUNT_TYPES[type], guest, options })),
    network: { enabled: false, ports: [], trust_host_cas: false },
  };
}

const MOUNT_TYPES = { bind: 'Bind', named: 'Named', tmpfs: 'Tmpfs', disk_image: 'DiskImage' } as const;
