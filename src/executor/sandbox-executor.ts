import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { SandboxInfo } from '../core/execution.ts';
import { Deadline } from '../util/deadline.ts';
import { BoundedText } from './bounded-text.ts';
import { CloudSandboxes, type CloudSandboxesOptions } from './cloud-sandboxes.ts';
import type { OpenSandbox, SandboxOpener } from './open-sandbox.ts';
import type { ExecuteProgram, ProgramExecutor, ProgramRun, ReleaseOptions } from './program-executor.ts';
import { type HostStop, judge } from './program-outcome.ts';
import type { RunnerEnd } from './runner-session.ts';

export interface SandboxExecutorOptions extends CloudSandboxesOptions {
  readonly bootTimeoutMs: number;
}

interface Warm {
  readonly sandbox: OpenSandbox;
  readonly held: AsyncDisposable | undefined;
  /** Programs that have it now. */
  users: number;
  /** Closes it when nobody has come back. */
  idleTimer?: NodeJS.Timeout;
}

/** How long a killed program's end may take to arrive; after that its sandbox is ended instead. */
const KILL_GRACE_MS = 700;
const TOUCH_EVERY_MS = 15_000;
/** Timers of more milliseconds fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Runs programs in sandboxes of a Microsandbox server.
 *
 * Each customer has one sandbox, started for the first program and kept for the next. A sandbox that was lost, or that does
 * not obey, is replaced. Dispose it to remove the sandboxes that it has started.
 */
export class SandboxExecutor implements ProgramExecutor {
  readonly #options: Pick<SandboxExecutorOptions, 'bootTimeoutMs' | 'idleTimeoutMs'>;
  readonly #sandboxes: SandboxOpener;
  readonly #warm = new Map<string, Promise<Warm>>();

  /** `sandboxes`: where they come from; default a server of the cloud API. */
  constructor(options: SandboxExecutorOptions, sandboxes: SandboxOpener = new CloudSandboxes(options)) {
    this.#options = options;
    this.#sandboxes = sandboxes;
  }

  /** Whatever the program does is in the result; rejects when there is no sandbox for it, or it is lost on the way. */
  async execute(request: ExecuteProgram): Promise<ProgramRun> {
    const began = performance.now();
    for (;;) {
      const { warm, fresh, starting } = await this.#acquire(request);
      const sandbox = fresh ? warm.sandbox.info : asWarm(warm.sandbox.info);
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

  /** Ends the sandbox that is kept for a customer; one without is fine. Throws `busy` while a program runs in it, unless it is forced. */
  async release(customer: string, { force = false }: ReleaseOptions = {}): Promise<void> {
    const starting = this.#warm.get(customer);
    const warm = await starting?.catch(() => undefined);
    if (starting === undefined || warm === undefined) return;
    if (warm.users > 0 && !force) throw new WorkcellError('busy', `A program of customer "${customer}" is running`);
    await this.#discard(customer, starting);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#warm].map(([customer, starting]) => this.#discard(customer, starting)));
  }

  async #acquire(request: ExecuteProgram): Promise<{ warm: Warm; fresh: boolean; starting: Promise<Warm> }> {
    const { customer, signal } = request;
    using deadline = new Deadline(`Starting a sandbox for customer "${customer}"`, this.#options.bootTimeoutMs, {
      signal,
    });
    for (;;) {
      // A warm sandbox is there at once; the race below would not notice that the caller has left already.
      deadline.check();
      const current = this.#warm.get(customer);
      const starting = current ?? this.#start(request);
      if (current === undefined) {
        this.#warm.set(customer, starting);
        starting.then(
          (warm) => this.#awaitUse(customer, starting, warm),
          () => this.#forget(customer, starting),
        );
      }
      const warm = await deadline.race(starting);
      if (warm.sandbox.runner.ended === undefined && this.#warm.get(customer) === starting) {
        warm.users += 1;
        clearTimeout(warm.idleTimer);
        return { warm, fresh: current === undefined, starting };
      }
      await this.#discard(customer, starting);
    }
  }

  /** Bounded by itself: the caller that has begun it may leave while others wait for it. */
  async #start({ customer, mounts, hold }: ExecuteProgram): Promise<Warm> {
    using deadline = new Deadline(`Starting a sandbox for customer "${customer}"`, this.#options.bootTimeoutMs);
    const held = await hold?.();
    try {
      return { sandbox: await this.#sandboxes.open({ customer, mounts }, deadline), held, users: 0 };
    } catch (error) {
      await held?.[Symbol.asyncDispose]();
      throw error;
    }
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
    const ended = warm.sandbox.runner.run(program, {
      ...handlers,
      onOutput: (stream, text) => {
        const kept = texts[stream].append(text);
        if (kept !== '') handlers.onOutput(stream, kept);
      },
    });
    // A program may be silent for longer than the server lets a sandbox be.
    const touching = setInterval(() => warm.sandbox.touch(), TOUCH_EVERY_MS);
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
    request.onClock?.({ pause: () => deadline.pause(), readCpu: async () => await warm.sandbox.readCpu?.() });
    ended.catch(() => {});
    try {
      return { end: await deadline.race(ended), stop: undefined };
    } catch (error) {
      if (!deadline.signal.aborted) throw error;
      const stop = request.signal?.aborted === true ? 'killed' : 'timed_out';
      warm.sandbox.runner.kill(request.program.id);
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
    await warm.sandbox.close();
    await warm.held?.[Symbol.asyncDispose]();
  }
}

/** How it came to be says nothing about a program that found it there. */
function asWarm({ id, driver, isolation }: SandboxInfo): SandboxInfo {
  return { id, driver, isolation, boot: 'warm' };
}
