import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { makeExpendable } from '../runner/expendable.ts';
import type { AgentLink } from './agent-options.ts';
import { errnoNameOf, errnoOf, messageOfError } from './errno.ts';
import { EXEC_STEP, ExecFailure, stepFailure } from './exec-failure.ts';
import { type CommandSpec, planCommand } from './exec-plan.ts';
import type { ExecSession, Send } from './exec-session.ts';
import type { Holder, Intake } from './intake.ts';
import { launch } from './launch.ts';
import { killSession } from './process-session.ts';
import { Terminal } from './terminal.ts';

export interface CommandContext {
  readonly link: AgentLink;
  readonly intake: Intake;
  readonly send: Send;
  /** Called once, before the last message. */
  readonly end: () => void;
}

/** One process, with its pipes or its terminal. */
export class Command implements ExecSession, Holder {
  readonly #context: CommandContext;
  readonly #spec: CommandSpec;
  #child: ChildProcess | undefined;
  #terminal: Terminal | undefined;
  /** Input that came before the process was there. */
  #early: Uint8Array[] | undefined = [];
  /** Output that came before the start was known. */
  #held: (() => void)[] | undefined = [];
  #outputs: Promise<void>[] = [];
  #finished = false;

  constructor(spec: CommandSpec, context: CommandContext) {
    this.#context = context;
    this.#spec = spec;
  }

  /** Starts it, and reports all that becomes of it. */
  async run(): Promise<void> {
    try {
      const child = await this.#start();
      this.#context.send('core.exec.started', { pid: child.pid ?? 0 });
      for (const forward of this.#held?.splice(0) ?? []) forward();
      this.#held = undefined;
      for (const data of this.#early?.splice(0) ?? []) this.#write(data);
      this.#early = undefined;
      await this.#untilEnd(child);
      this.#finish();
      this.#context.send('core.exec.exited', { code: exitCode(child) });
    } catch (error) {
      this.#terminal?.close();
      this.#finish();
      const failure = error instanceof ExecFailure ? error : stepFailure(this.#spec.command, EXEC_STEP, error);
      this.#context.send('core.exec.failed', failure.payload);
    }
  }

  stdin(data: Uint8Array): void {
    if (this.#finished) return;
    this.#context.intake.hold(this, data.byteLength);
    if (this.#early === undefined) this.#write(data);
    else this.#early.push(data);
  }

  signal(signal: number): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    if (signal === constants.signals.SIGKILL) killSession(pid);
    try {
      process.kill(-pid, signal);
    } catch {
      // It has ended already, or there is no such signal.
    }
  }

  resize(rows: number, cols: number): void {
    this.#terminal?.resize(rows, cols);
  }

  giveUp(): void {
    this.#child?.stdin?.destroy();
    this.#terminal?.discardInput();
    this.#context.send('core.exec.stdin.error', { message: 'The command does not read its input, which was dropped' });
  }

  async #start(): Promise<ChildProcess> {
    const { account, limits, terminal } = this.#spec;
    const plain = account === undefined && limits.length === 0 && terminal === undefined;
    return plain ? this.#spawn() : this.#launch();
  }

  async #spawn(): Promise<ChildProcess> {
    const { command, args, env, cwd } = this.#spec;
    try {
      const child = spawn(command, args, { cwd, env, detached: true, stdio: 'pipe' });
      this.#adopt(child);
      await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
      return child;
    } catch (error) {
      // Node reports a missing working directory as if the command were missing.
      const step = isDirectory(cwd) ? EXEC_STEP : ({ stage: 'chdir', kind: 'bad_cwd' } as const);
      throw stepFailure(command, step, error);
    }
  }

  async #launch(): Promise<ChildProcess> {
    const steps = planCommand(this.#spec);
    if (this.#spec.terminal !== undefined) this.#terminal = openTerminal(this.#spec.command);
    const inherited = this.#terminal === undefined ? [] : [this.#terminal.fd];
    const { child, done } = launch(steps.plan, this.#terminal === undefined ? 'pipe' : 'ignore', inherited);
    this.#adopt(child);
    const failure = await done;
    if (failure === undefined) return child;
    throw stepFailure(this.#spec.command, steps.step(failure.tag) ?? EXEC_STEP, failure.error);
  }

  #adopt(child: ChildProcess): void {
    this.#child = child;
    child.on('error', () => {});
    child.stdin?.on('error', (error) => this.#stdinFailed(error));
    // At once: node reads what is left when a process ends, and drops it if nobody listens.
    this.#outputs = [this.#forward(child.stdout, 'core.exec.stdout'), this.#forward(child.stderr, 'core.exec.stderr')];
    if (child.pid !== undefined) makeExpendable(child.pid);
  }

  /** Ends when the process has ended and nobody holds its output any more. */
  async #untilEnd(child: ChildProcess): Promise<void> {
    const ended = child.exitCode === null && child.signalCode === null ? event(child, 'exit') : undefined;
    const terminal = this.#terminal && this.#forward(this.#terminal.output, 'core.exec.stdout');
    await Promise.all([ended, terminal, ...this.#outputs]);
  }

  async #forward(source: Readable | null, type: 'core.exec.stdout' | 'core.exec.stderr'): Promise<void> {
    if (source === null) return;
    const forward = (data: Buffer) => {
      if (this.#context.send(type, { data })) return;
      source.pause();
      this.#context.link.onDrain(() => source.resume());
    };
    source.on('error', () => {});
    source.on('data', (data: Buffer) => {
      if (this.#held === undefined) forward(data);
      else this.#held.push(() => forward(data));
    });
    await event(source, 'close');
  }

  #write(data: Uint8Array): void {
    const done = () => this.#context.intake.release(this, data.byteLength);
    if (this.#terminal !== undefined) this.#terminal.write(data, done);
    else if (data.byteLength === 0) this.#child?.stdin?.end();
    else if (this.#child?.stdin?.writable) this.#child.stdin.write(data, done);
    else done();
  }

  #stdinFailed(error: Error): void {
    if (this.#finished) return;
    this.#context.intake.forget(this);
    const errno = errnoOf(error);
    const name = errnoNameOf(error);
    this.#context.send('core.exec.stdin.error', {
      message: messageOfError(error),
      ...(errno === undefined || name === undefined ? {} : { errno, errno_name: name }),
    });
  }

  #finish(): void {
    this.#finished = true;
    this.#context.intake.forget(this);
    this.#context.end();
  }
}

function openTerminal(command: string): Terminal {
  try {
    return Terminal.open();
  } catch (error) {
    throw stepFailure(command, { stage: 'posix_openpt', kind: 'pty_setup_failed' }, error);
  }
}

function exitCode({ exitCode, signalCode }: ChildProcess): number {
  return exitCode ?? 128 + (signalCode === null ? 0 : constants.signals[signalCode]);
}

function event(source: ChildProcess | Readable, name: string): Promise<void> {
  return new Promise((resolve) => source.once(name, () => resolve()));
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
