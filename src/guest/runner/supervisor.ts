import {
  encodeLine,
  type HostFrame,
  type Language,
  LineDecoder,
  RUNNER_VERSION,
  type RunnerFrame,
} from '../../protocol/runner-frames.ts';
import { type ProgramEnvironment, ProgramProcess, type ProgramProcessOptions } from './program-process.ts';

/**
 * Keeps one fresh process waiting and gives each program one of its own. For Python it begins to do so with the first
 * program that is written in it.
 *
 * A process serves one program and ends with it. The next one is started only when nothing runs, so that it does not take
 * time from a program on a guest with one CPU.
 */
export class Supervisor {
  readonly #options: ProgramProcessOptions;
  #env: ProgramEnvironment | undefined;
  #waiting: ProgramProcess;
  #waitingPython: ProgramProcess | undefined;
  #opened = false;
  #running = 0;

  /** Nothing of a program's process runs yet, but what will become the first one is there. */
  constructor(options: ProgramProcessOptions) {
    this.#options = options;
    this.#waiting = new ProgramProcess(options);
  }

  /** From here on a process waits, with these variables: by default those that programs get. Once is enough. */
  open(env: ProgramEnvironment = this.#env ?? {}): void {
    if (this.#opened) return;
    this.#opened = true;
    this.#env = env;
    this.#waiting.start('typescript', env);
  }

  /**
   * Programs get these variables instead, also the one that takes the process that waits already. Comes before any program.
   */
  adapt(env: ProgramEnvironment): void {
    this.#env = env;
    if (!this.#opened || this.#waiting.canAdapt(env)) return;
    this.#waiting.kill();
    this.#waiting = this.#startOne('typescript');
  }

  /** Resolves when a process waits that needs no more time before it can run a program. */
  ready(): Promise<void> {
    return this.#waiting.ready;
  }

  /** One client; `write` gets the bytes for its standard input. */
  attach(write: (line: string) => void): RunnerConnection {
    this.open();
    write(encodeLine({ t: 'hello', version: RUNNER_VERSION }));
    return new RunnerConnection(this, write);
  }

  /** The waiting process, or a new one when it is taken already. */
  take(language: Language): ProgramProcess {
    this.#running += 1;
    const waiting = language === 'python' ? this.#waitingPython : this.#waiting;
    // A program may have killed it: they all are root in here.
    const process = waiting === undefined || waiting.taken || waiting.gone ? this.#startOne(language) : waiting;
    if (language === 'python') this.#waitingPython = process;
    else this.#waiting = process;
    process.take(this.#env ?? {});
    return process;
  }

  release(): void {
    this.#running -= 1;
    if (this.#running > 0) return;
    if (this.#waiting.taken) this.#waiting = this.#startOne('typescript');
    if (this.#waitingPython?.taken === true) this.#waitingPython = this.#startOne('python');
  }

  #startOne(language: Language): ProgramProcess {
    const process = new ProgramProcess(this.#options);
    process.start(language, this.#env ?? {});
    return process;
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
    const process = this.#supervisor.take(frame.language ?? 'typescript');
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
