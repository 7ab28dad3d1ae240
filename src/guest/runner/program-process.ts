import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex, Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import {
  encodeLine,
  type HostFrame,
  type Language,
  LineDecoder,
  type ProgramEnd,
  type RunnerFrame,
} from '../../protocol/runner-frames.ts';
import { shellWord } from '../shell-word.ts';
import { Cgroup, memoryKills } from './cgroup.ts';
import { makeExpendable } from './expendable.ts';

export interface ProgramProcessOptions {
  /** Command and arguments of a POSIX shell. */
  readonly shell: readonly [command: string, ...args: string[]];
  /** Command and arguments that start the process for a program of each language. */
  readonly commands: Readonly<Record<Language, readonly string[]>>;
  readonly cwd: string;
}

export type ProgramEnvironment = Readonly<Record<string, string | undefined>>;

type RunFrame = Extract<HostFrame, { t: 'run' }>;
type CallFrame = Extract<RunnerFrame, { t: 'call' | 'checkpoint' | 'cancel' }>;

const CALLS: ReadonlySet<unknown> = new Set<CallFrame['t']>(['call', 'checkpoint', 'cancel']);
type Emit = (frame: RunnerFrame) => void;

/** Variables that the loader, the C library or node look at only once. */
const READ_AT_START = /^(NODE_|LD_|GLIBC_|MALLOC_|UV_|OPENSSL_|SSL_CERT_|LANG$|LC_)/;

const HEAP_EXHAUSTED = /JavaScript heap out of memory|Reached heap limit/;

/** One process for one program: waits, runs it, reports its end, and takes everything that it started with it. */
export class ProgramProcess {
  /** Resolves when it waits for a program, or is gone. */
  readonly ready: Promise<void>;
  readonly #options: ProgramProcessOptions;
  readonly #child: ChildProcess;
  readonly #channel: Duplex;
  readonly #cgroup: Cgroup | undefined;
  readonly #closed: Promise<void>;
  readonly #waits = Promise.withResolvers<void>();
  #startedWith: ProgramEnvironment = {};
  #takenWith: ProgramEnvironment | undefined;
  #end: ProgramEnd | undefined;
  #exit: { code: number | null; signal: string | null } = { code: null, signal: null };
  #spawnError: Error | undefined;
  #onCall: (call: CallFrame) => void = () => {};

  /**
   * Starts a shell that will become the process. It can wait in a template: nothing random has happened in it, and becoming
   * something else is quicker than a start from here.
   */
  constructor(options: ProgramProcessOptions) {
    this.#options = options;
    const [shell, ...shellArguments] = options.shell;
    this.#child = spawn(shell, shellArguments, {
      cwd: '/',
      env: {},
      // A process group of its own, so that one signal reaches what the program starts too.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    this.#channel = this.#child.stdio[3] as Duplex;
    this.#channel.on('error', () => {});
    this.#cgroup = this.#child.pid === undefined ? undefined : Cgroup.create(this.#child.pid);
    if (this.#child.pid !== undefined) makeExpendable(this.#child.pid);
    this.#child.on('error', (error) => {
      this.#spawnError = error;
    });
    this.#child.on('exit', (code, signal) => {
      this.#exit = { code, signal };
      // What the program left running would hold its output open, and outlive it.
      this.#killAll();
    });
    this.#closed = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
      this.#child.once('error', () => resolve());
    });
    this.ready = Promise.race([this.#waits.promise, this.#closed]);
    this.#listen();
  }

  /** Whether a program has been promised this process. */
  get taken(): boolean {
    return this.#takenWith !== undefined;
  }

  get gone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Lets the shell become the process that waits for a program of this language. */
  start(language: Language, env: ProgramEnvironment): void {
    const { commands, cwd } = this.#options;
    this.#startedWith = env;
    const variables = Object.entries(env).filter(([name]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name));
    const lines = [
      ...variables.map(([name, value = '']) => `export ${name}=${shellWord(value)}`),
      `cd ${shellWord(cwd)}`,
      `exec ${commands[language].map(shellWord).join(' ')} </dev/null`,
    ];
    this.#child.stdin?.on('error', () => {});
    this.#child.stdin?.end(`${lines.join('\n')}\n`);
  }

  /** Whether a program that is to have these variables can run in it: some are read when a process starts. */
  canAdapt(env: ProgramEnvironment): boolean {
    const names = new Set([...Object.keys(this.#startedWith), ...Object.keys(env)]);
    return [...names].every((name) => !READ_AT_START.test(name) || this.#startedWith[name] === env[name]);
  }

  /** Promises it to a program with these variables. Until then it only gets the time that nobody else needs. */
  take(env: ProgramEnvironment): void {
    this.#takenWith = env;
    this.#cgroup?.setIdle(false);
  }

  /** Runs the program; resolves when all of its processes are gone and all of its output was emitted. */
  async run(frame: RunFrame, emit: Emit): Promise<Extract<RunnerFrame, { t: 'done' }>> {
    const started = performance.now();
    const stdout = new OutputPipe(this.#child.stdout, frame, 'stdout', emit);
    const stderr = new OutputPipe(this.#child.stderr, frame, 'stderr', emit);
    this.#onCall = (call) => emit({ ...call, run: frame.run });
    const killsBefore = memoryKills();
    emit({ t: 'started', run: frame.run });
    const env = this.#takenWith === this.#startedWith ? {} : { env: this.#takenWith };
    this.#channel.write(`${JSON.stringify({ ...frame, ...env })}\n`);
    await this.#closed;
    stdout.flush();
    stderr.flush();
    const outOfMemory =
      (this.#cgroup?.ranOutOfMemory() ?? false) ||
      (this.#exit.signal === 'SIGKILL' && memoryKills() > killsBefore) ||
      HEAP_EXHAUSTED.test(stderr.tail);
    void this.#cgroup?.remove();
    return {
      t: 'done',
      run: frame.run,
      end: this.#end ?? this.#exitEnd(outOfMemory),
      usage: { stdoutBytes: stdout.bytes, stderrBytes: stderr.bytes, ms: performance.now() - started },
    };
  }

  answer(frame: Extract<HostFrame, { t: 'answer' }>): void {
    this.#channel.write(encodeLine(frame));
  }

  /** All that the program wrote before is in the pipes already, and they are read to their end. */
  #finish(end: ProgramEnd): void {
    this.#end = end;
    this.#killAll();
  }

  kill(): void {
    this.#end = undefined;
    this.#killAll();
  }

  #exitEnd(outOfMemory: boolean): ProgramEnd {
    if (this.#spawnError === undefined) return { kind: 'exit', ...this.#exit, outOfMemory };
    return {
      kind: 'error',
      error: {
        name: 'Error',
        message: `The program process cannot be started: ${this.#spawnError.message}`,
        stack: '',
      },
    };
  }

  #listen(): void {
    const lines = new LineDecoder();
    this.#channel.setEncoding('utf8');
    this.#channel.on('data', (text: string) => {
      try {
        for (const frame of lines.push(text)) {
          if (frame['t'] === 'waiting') this.#waits.resolve();
          else if (frame['t'] === 'end') this.#finish(frame['end'] as ProgramEnd);
          else if (CALLS.has(frame['t'])) this.#onCall(frame as unknown as CallFrame);
        }
      } catch {
        // Only the program itself can write nonsense here; it has ended its own run.
        this.kill();
      }
    });
  }

  #killAll(): void {
    this.#cgroup?.kill();
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // The group is gone already.
    }
  }
}

/** Passes on a program's output as text up to a limit; counts all of it. */
class OutputPipe {
  bytes = 0;
  /** The last text, to recognise what the engine itself prints when it dies. */
  tail = '';
  readonly #decoder = new StringDecoder('utf8');
  readonly #send: (text: string) => void;
  readonly #limit: number;

  constructor(source: Readable | null, frame: RunFrame, stream: 'stdout' | 'stderr', emit: Emit) {
    this.#limit = frame.outputBytes;
    this.#send = (text) => {
      if (text !== '') emit({ t: 'out', run: frame.run, stream, text });
    };
    source?.on('data', (chunk: Buffer) => this.#push(chunk));
    source?.on('error', () => {});
  }

  flush(): void {
    this.#send(this.#decoder.end());
  }

  #push(chunk: Buffer): void {
    const room = Math.max(0, this.#limit - this.bytes);
    this.bytes += chunk.byteLength;
    this.tail = (this.tail + chunk.toString('latin1')).slice(-4096);
    if (room > 0) this.#send(this.#decoder.write(chunk.subarray(0, room)));
  }
}
