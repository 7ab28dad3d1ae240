import {
  encodeLine,
  type HostFrame,
  LineDecoder,
  RUNNER_VERSION,
  type RunnerFrame,
} from '../../protocol/runner-frames.ts';
import { ProgramProcess, type ProgramProcessOptions } from './program-process.ts';

/**
 * Keeps one fresh process waiting and gives each program one of its own.
 *
 * A process serves one program and ends with it. The next one is started only when nothing runs, so that it does not take
 * time from a program on a guest with one CPU.
 */
export class Supervisor {
  readonly #options: ProgramProcessOptions;
  readonly #attached = new Set<RunnerConnection>();
  #waiting: ProgramProcess | undefined;
  #running = 0;

  constructor(options: ProgramProcessOptions) {
    this.#options = options;
  }

  /** Starts the process that the next program will get, unless there is one. */
  prefork(): void {
    if (this.#waiting !== undefined || this.#running > 0) return;
    const process = new ProgramProcess(this.#options);
    this.#waiting = process;
    process.onDeath(() => {
      if (this.#waiting === process) this.#waiting = undefined;
    });
  }

  /** One client; `write` gets the bytes for its standard input. */
  attach(write: (line: string) => void): RunnerConnection {
    const connection = new RunnerConnection(this, write);
    this.#attached.add(connection);
    write(encodeLine({ t: 'hello', version: RUNNER_VERSION }));
    this.prefork();
    return connection;
  }

  detach(connection: RunnerConnection): void {
    this.#attached.delete(connection);
  }

  /** The waiting process, or a new one when it is taken already. */
  take(): ProgramProcess {
    const process = this.#waiting ?? new ProgramProcess(this.#options);
    this.#waiting = undefined;
    this.#running += 1;
    return process;
  }

  release(): void {
    this.#running -= 1;
    this.prefork();
  }
}

/** The runs of one client. */
class RunnerConnection {
  readonly #supervisor: Supervisor;
  readonly #write: (line: string) => void;
  readonly #lines = new LineDecoder();
  readonly #runs = new Map<string, ProgramProcess>();

  constructor(supervisor: Supervisor, write: (line: string) => void) {
    this.#supervisor = supervisor;
    this.#write = write;
  }

  /** Text from the host. */
  receive(text: string): void {
    for (const frame of this.#lines.push(text)) this.#handle(frame as unknown as HostFrame);
  }

  /** Ends every run of this client; nothing is sent any more. */
  close(): void {
    this.#supervisor.detach(this);
    for (const process of this.#runs.values()) process.kill();
  }

  #handle(frame: HostFrame): void {
    switch (frame.t) {
      case 'run':
        void this.#run(frame);
        return;
      case 'answer':
        this.#runs.get(frame.run)?.answer(frame);
        return;
      case 'kill':
        this.#runs.get(frame.run)?.kill();
        return;
    }
  }

  async #run(frame: Extract<HostFrame, { t: 'run' }>): Promise<void> {
    if (this.#runs.has(frame.run)) return;
    const process = this.#supervisor.take();
    this.#runs.set(frame.run, process);
    const done = await process.run(frame, (event) => this.#send(event));
    this.#runs.delete(frame.run);
    this.#send(done);
    this.#supervisor.release();
  }

  #send(frame: RunnerFrame): void {
    this.#write(encodeLine(frame));
  }
}

export type { RunnerConnection };
