import { type ChildProcess, spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { identify, isRunning, killProcess, type ProcessId } from './process-id.ts';

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  /** The file that its standard error goes to. */
  readonly log: string;
  /**
   * False: it cannot outlive us; the kernel kills it when this process dies, whatever kills this process. The command must
   * not change its credentials in a way that makes the kernel forget whom it depends on.
   */
  readonly survives: boolean;
  /** Its standard input. Default empty. */
  readonly input?: string;
}

/** A process that a guest depends on: our own child, or one that an earlier process of ours has left running. */
export interface HostProcess {
  readonly pid: number;
  readonly exited: Promise<ChildExit>;
  /** Undefined when it is gone. */
  identify(): Promise<ProcessId | undefined>;
  /** Ends it at once and waits until it is gone. */
  kill(): Promise<void>;
}

/** In front of a command: the kernel kills it when the process that has started it dies. */
export const DIES_WITH_US = ['setpriv', '--pdeathsig', 'KILL'] as const;

/** A helper process. Its standard error goes to a file, of which the last lines explain a failure. */
export class Child implements HostProcess {
  readonly exited: Promise<ChildExit>;
  readonly #process: ChildProcess;
  readonly #log: string;
  #exit: ChildExit | undefined;

  private constructor(process: ChildProcess, log: string) {
    this.#process = process;
    this.#log = log;
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        this.#exit = { code, signal };
        resolve(this.#exit);
      };
      process.once('exit', end);
      process.once('error', () => end(null, null));
    });
  }

  static async start(command: readonly [string, ...string[]], { log, survives, input }: ChildOptions): Promise<Child> {
    const file = await open(log, 'a', 0o600);
    try {
      const [program, ...args] = survives ? command : ([...DIES_WITH_US, ...command] as const);
      const child = spawn(program, args, {
        stdio: [input === undefined ? 'ignore' : 'pipe', file.fd, file.fd],
        // Ctrl-C in a terminal is for us; what it means for a guest is decided here.
        detached: true,
      });
      // One that ends before it has read everything says by its end what is wrong.
      child.stdin?.on('error', () => {}).end(input);
      // This process may end before it.
      if (survives) child.unref();
      return new Child(child, log);
    } finally {
      await file.close();
    }
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get gone(): boolean {
    return this.#exit !== undefined;
  }

  async identify(): Promise<ProcessId | undefined> {
    return this.gone ? undefined : identify(this.pid);
  }

  /** The end of what it said, for error messages. */
  async tail(bytes = 2_000): Promise<string> {
    return tailOf(this.#log, bytes);
  }

  async kill(): Promise<void> {
    if (!this.gone) this.#process.kill('SIGKILL');
    await this.exited;
  }
}

const WATCH_EVERY_MS = 100;

/** A process that is not our child; that it has ended is seen by looking. */
export class ForeignProcess implements HostProcess {
  readonly exited: Promise<ChildExit>;
  readonly #id: ProcessId;

  constructor(id: ProcessId) {
    this.#id = id;
    this.exited = this.#watch();
  }

  get pid(): number {
    return this.#id.pid;
  }

  async identify(): Promise<ProcessId | undefined> {
    return (await isRunning(this.#id)) ? this.#id : undefined;
  }

  async kill(): Promise<void> {
    await killProcess(this.#id);
    await this.exited;
  }

  async #watch(): Promise<ChildExit> {
    while (await isRunning(this.#id)) {
      await new Promise((resolve) => setTimeout(resolve, WATCH_EVERY_MS).unref());
    }
    return { code: null, signal: null };
  }
}

/** The last `bytes` of a file as text; empty when it cannot be read. */
export async function tailOf(path: string, bytes: number): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, bytes));
    await file.read(buffer, 0, buffer.byteLength, size - buffer.byteLength);
    return buffer.toString('utf8').trim();
  } catch {
    return '';
  }
}
