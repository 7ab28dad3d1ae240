import { type ChildProcess, spawn } from 'node:child_process';
import { open } from 'node:fs/promises';

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * A helper process that cannot outlive us: the kernel kills it when this process dies, whatever kills this process.
 *
 * Its standard error goes to a file, of which the last lines explain a failure.
 */
export class Child {
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

  /** `command` must not change its credentials in a way that makes the kernel forget whom it depends on. */
  static async start(command: readonly string[], log: string): Promise<Child> {
    const file = await open(log, 'a', 0o600);
    try {
      const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], {
        stdio: ['ignore', file.fd, file.fd],
        // Ctrl-C in a terminal is for us; what it means for a guest is decided here.
        detached: true,
      });
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

  /** The end of what it said, for error messages. */
  async tail(bytes = 2_000): Promise<string> {
    return tailOf(this.#log, bytes);
  }

  /** Ends it at once and waits until it is gone. */
  async kill(): Promise<void> {
    if (!this.gone) this.#process.kill('SIGKILL');
    await this.exited;
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
