import { randomBytes } from 'node:crypto';
import { isWorkcellError } from '../core/errors.ts';
import type { SandboxInfo } from '../core/execution.ts';
import { parseAllowList, toCloudPolicy } from '../protocol/network-policy.ts';
import type { CreateSandboxInput, SandboxResponse } from '../protocol/rest.ts';
import { Deadline } from '../util/deadline.ts';
import { AgentConnection } from './agent-connection.ts';
import { BoundedText } from './bounded-text.ts';
import { MicrosandboxClient, type MicrosandboxClientOptions } from './microsandbox-client.ts';
import { type HostStop, judge, type ProgramOutcome } from './program-outcome.ts';
import { type ProgramToRun, type RunHandlers, type RunnerEnd, RunnerSession } from './runner-session.ts';

export interface SandboxExecutorOptions extends MicrosandboxClientOptions {
  /** What every sandbox is like. */
  readonly sandbox: { readonly image: string; readonly cpus: number; readonly memoryMib: number };
  /** What programs may reach, as `parseAllowList` reads it; a server may allow less. Default nothing. */
  readonly allow?: readonly string[];
  readonly bootTimeoutMs: number;
  /** How long a sandbox waits for a customer's next program before it ends. */
  readonly idleTimeoutMs: number;
}

export interface ExecuteProgram {
  /** Whose sandbox; programs of one customer share it, nobody else ever does. */
  readonly customer: string;
  readonly mounts: NonNullable<CreateSandboxInput['mounts']>;
  readonly program: ProgramToRun;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onSandbox?: (sandbox: SandboxInfo) => void;
  readonly handlers: RunHandlers;
}

export interface ProgramRun extends ProgramOutcome {
  readonly sandbox: SandboxInfo;
  readonly stdout: string;
  readonly stderr: string;
  readonly output: { readonly stdoutBytes: number; readonly stderrBytes: number; readonly truncated: boolean };
  readonly acquireMs: number;
  readonly runMs: number;
}

interface Warm {
  readonly sandbox: SandboxResponse;
  readonly connection: AgentConnection;
  readonly runner: RunnerSession;
  /** Programs that have it now. */
  users: number;
  /** Closes it when nobody has come back. */
  idleTimer?: NodeJS.Timeout;
}

/** How long a killed program's end may take to arrive; after that its sandbox is ended instead. */
const KILL_GRACE_MS = 700;
const REMOVE_TIMEOUT_MS = 15_000;
/** An idle sandbox is closed from here, which cannot cross with a program; the server does it when we are gone. */
const SERVER_IDLE_GRACE_SECONDS = 60;
const TOUCH_EVERY_MS = 15_000;
/** Timers of more milliseconds fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Runs programs in sandboxes of a Microsandbox server.
 *
 * Each customer has one sandbox, started for the first program and kept for the next. A sandbox that was lost, or that does
 * not obey, is replaced. Dispose it to remove the sandboxes that it has started.
 */
export class SandboxExecutor implements AsyncDisposable {
  readonly #options: SandboxExecutorOptions;
  readonly #client: MicrosandboxClient;
  readonly #warm = new Map<string, Promise<Warm>>();

  constructor(options: SandboxExecutorOptions) {
    this.#options = options;
    this.#client = new MicrosandboxClient(options);
  }

  /** Whatever the program does is in the result; rejects when there is no sandbox for it, or it is lost on the way. */
  async execute(request: ExecuteProgram): Promise<ProgramRun> {
    const began = performance.now();
    for (;;) {
      const { warm, fresh, starting } = await this.#acquire(request);
      const sandbox = describe(warm.sandbox, fresh);
      request.onSandbox?.(sandbox);
      const acquired = performance.now();
      let started = false;
      const onStarted = () => {
        started = true;
        request.handlers.onStarted();
      };
      const watched = { ...request, handlers: { ...request.handlers, onStarted } };
      try {
        const run = await this.#run(watched, warm, starting);
        return { sandbox, ...run, acquireMs: acquired - began, runMs: performance.now() - acquired };
      } catch (error) {
        // A kept sandbox may have died a moment ago, unnoticed. A program that has not started loses nothing by another.
        if (fresh || started || !(isWorkcellError(error) && error.code === 'sandbox_lost')) throw error;
      } finally {
        this.#release(request.customer, starting, warm);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#warm].map(([customer, starting]) => this.#discard(customer, starting)));
  }

  async #acquire(request: ExecuteProgram): Promise<{ warm: Warm; fresh: boolean; starting: Promise<Warm> }> {
    const { customer, mounts, signal } = request;
    using deadline = new Deadline(`Starting a sandbox for customer "${customer}"`, this.#options.bootTimeoutMs, {
      signal,
    });
    for (;;) {
      // A warm sandbox is there at once; the race below would not notice that the caller has left already.
      deadline.check();
      const current = this.#warm.get(customer);
      const starting = current ?? this.#start(customer, mounts);
      if (current === undefined) {
        this.#warm.set(customer, starting);
        starting.then(
          (warm) => this.#awaitUse(customer, starting, warm),
          () => this.#forget(customer, starting),
        );
      }
      const warm = await deadline.race(starting);
      if (warm.runner.ended === undefined && this.#warm.get(customer) === starting) {
        warm.users += 1;
        clearTimeout(warm.idleTimer);
        return { warm, fresh: current === undefined, starting };
      }
      await this.#discard(customer, starting);
    }
  }

  /** Bounded by itself: the caller that has begun it may leave while others wait for it. */
  async #start(customer: string, mounts: ExecuteProgram['mounts']): Promise<Warm> {
    const { image, cpus, memoryMib } = this.#options.sandbox;
    using deadline = new Deadline(`Starting a sandbox for customer "${customer}"`, this.#options.bootTimeoutMs);
    const sandbox = await this.#client.start(
      {
        name: `workcell-${customer}-${randomBytes(4).toString('hex')}`,
        image: { type: 'oci', reference: image },
        resources: { vcpus: cpus, memory_mib: memoryMib },
        network: this.#network(),
        labels: { 'workcell.customer': customer },
        lifecycle: { ephemeral: true, idle_timeout_secs: this.#serverIdleSeconds() },
        mounts,
      },
      deadline,
    );
    const connection = await AgentConnection.open(this.#client, sandbox.id, deadline);
    return { sandbox, connection, runner: new RunnerSession(connection), users: 0 };
  }

  #network(): CreateSandboxInput['network'] {
    const { allow = [] } = this.#options;
    return allow.length === 0 ? { enabled: false } : { policy: toCloudPolicy(parseAllowList(allow)) };
  }

  #serverIdleSeconds(): number {
    return Math.ceil(this.#options.idleTimeoutMs / 1000) + SERVER_IDLE_GRACE_SECONDS;
  }

  #release(customer: string, starting: Promise<Warm>, warm: Warm): void {
    warm.users -= 1;
    this.#awaitUse(customer, starting, warm);
  }

  #awaitUse(customer: string, starting: Promise<Warm>, warm: Warm): void {
    if (warm.users > 0 || this.#warm.get(customer) !== starting) return;
    const delay = Math.min(this.#options.idleTimeoutMs, MAX_TIMER_MS);
    warm.idleTimer = setTimeout(() => void this.#discard(customer, starting), delay).unref();
  }

  async #run(
    request: ExecuteProgram,
    warm: Warm,
    starting: Promise<Warm>,
  ): Promise<Omit<ProgramRun, 'sandbox' | 'acquireMs' | 'runMs'>> {
    const { program, handlers, timeoutMs } = request;
    const texts = { stdout: new BoundedText(program.outputBytes), stderr: new BoundedText(program.outputBytes) };
    const ended = warm.runner.run(program, {
      ...handlers,
      onOutput: (stream, text) => {
        const kept = texts[stream].append(text);
        if (kept !== '') handlers.onOutput(stream, kept);
      },
    });
    // A program may be silent for longer than the server lets a sandbox be.
    const touching = setInterval(() => warm.connection.touch(), TOUCH_EVERY_MS);
    const { end, stop } = await this.#supervise(request, warm, ended, () =>
      this.#discard(request.customer, starting),
    ).finally(() => clearInterval(touching));
    const { stdoutBytes, stderrBytes } = end.usage;
    return {
      ...judge(end.end, stop, timeoutMs),
      stdout: texts.stdout.text,
      stderr: texts.stderr.text,
      output: { stdoutBytes, stderrBytes, truncated: Math.max(stdoutBytes, stderrBytes) > program.outputBytes },
    };
  }

  /** Ends the program when its time is up or its caller leaves; first its processes, then, if need be, its sandbox. */
  async #supervise(
    request: ExecuteProgram,
    warm: Warm,
    ended: Promise<RunnerEnd>,
    discard: () => Promise<void>,
  ): Promise<{ end: RunnerEnd; stop: HostStop }> {
    using deadline = new Deadline('Running the program', request.timeoutMs, { signal: request.signal });
    ended.catch(() => {});
    try {
      return { end: await deadline.race(ended), stop: undefined };
    } catch (error) {
      if (!deadline.signal.aborted) throw error;
      const stop = request.signal?.aborted === true ? 'killed' : 'timed_out';
      warm.runner.kill(request.program.id);
      using grace = new Deadline('Ending the program', KILL_GRACE_MS);
      const end = await grace.race(ended).catch(() => undefined);
      if (end !== undefined) return { end, stop };
      await discard();
      const usage = { stdoutBytes: 0, stderrBytes: 0, ms: request.timeoutMs };
      return {
        end: {
          t: 'done',
          run: request.program.id,
          end: { kind: 'exit', code: null, signal: 'SIGKILL', outOfMemory: false },
          usage,
        },
        stop,
      };
    }
  }

  #forget(customer: string, starting: Promise<Warm>): void {
    if (this.#warm.get(customer) === starting) this.#warm.delete(customer);
  }

  async #discard(customer: string, starting: Promise<Warm>): Promise<void> {
    this.#forget(customer, starting);
    const warm = await starting.catch(() => undefined);
    if (warm === undefined) return;
    clearTimeout(warm.idleTimer);
    warm.connection[Symbol.dispose]();
    using deadline = new Deadline('Removing a sandbox', REMOVE_TIMEOUT_MS);
    // Ephemeral sandboxes that have ended are gone already.
    await this.#client.remove(warm.sandbox.id, deadline).catch(() => {});
  }
}

function describe(sandbox: SandboxResponse, fresh: boolean): SandboxInfo {
  return {
    id: sandbox.id,
    driver: sandbox.driver ?? 'unknown',
    // A server that does not say gets no credit for what it may do.
    isolation: sandbox.isolation ?? 'process',
    boot: fresh ? (sandbox.boot ?? 'cold') : 'warm',
    ...(fresh && sandbox.pool_bypass ? { poolBypass: sandbox.pool_bypass } : {}),
  };
}
