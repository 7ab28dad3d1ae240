import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import {
  type AgentMessageType,
  type AgentPayloads,
  type ExecFailed,
  encodeMessage,
} from '../../protocol/agent-messages.ts';
import { RUNNER_COMMAND } from '../../protocol/guest-bootstrap.ts';
import { makeExpendable } from '../runner/expendable.ts';
import type { Supervisor } from '../runner/supervisor.ts';
import type { AgentLink, AgentOptions } from './agent-options.ts';
import { errnoNameOf, errnoOf, messageOfError } from './errno.ts';

/** How long output is awaited after a command has ended while something that it started still holds the pipe. */
const LINGER_MS = 500;

interface Session {
  stdin(data: Uint8Array): void;
  signal(signal: number): void;
}

/** Commands that clients have started. */
export class ExecSessions {
  readonly #options: AgentOptions;
  readonly #sessions = new Map<number, Session>();

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  receive(id: number, type: string, payload: Record<string, unknown>): void {
    // The command may have ended while a later message was on its way.
    const session = this.#sessions.get(id);
    if (type === 'core.exec.request') this.#start(id, payload);
    else if (type === 'core.exec.stdin' && payload['data'] instanceof Uint8Array) session?.stdin(payload['data']);
    else if (type === 'core.exec.signal') session?.signal(Number(payload['signal']));
  }

  /** Kills what the clients in this range of ids have started. */
  forget(start: number, end: number): void {
    for (const [id, session] of this.#sessions) if (id >= start && id < end) session.signal(constants.signals.SIGKILL);
  }

  #start(id: number, request: Record<string, unknown>): void {
    const send: Send = (type, payload) => this.#options.link.send(encodeMessage(id, type, payload));
    const end = () => this.#sessions.delete(id);
    const command = String(request['cmd'] ?? '');
    const refusal = refuse(request);
    if (command === RUNNER_COMMAND) this.#sessions.set(id, attachRunner(this.#options.supervisor, send, end));
    else if (refusal !== undefined) send('core.exec.failed', refusal);
    else this.#run(id, command, request, { ...this.#options, send, end });
  }

  #run(id: number, command: string, request: Record<string, unknown>, context: CommandContext): void {
    try {
      this.#sessions.set(id, new Command(command, request, context).session);
    } catch (error) {
      // Some failures to start a process are thrown at once, such as arguments that are too long or hold a NUL.
      context.send('core.exec.failed', classify(error, workingDirectory(request, context)));
    }
  }
}

type Send = <Type extends AgentMessageType>(type: Type, payload: AgentPayloads[Type]) => boolean;

/** The runner is part of this process: one node fewer to start before a program can run. */
function attachRunner(supervisor: Supervisor, send: Send, end: () => void): Session {
  send('core.exec.started', { pid: process.pid });
  const connection = supervisor.attach((line) => send('core.exec.stdout', { data: Buffer.from(line) }));
  const decoder = new StringDecoder('utf8');
  const finish = () => {
    connection.close();
    end();
    send('core.exec.exited', { code: 0 });
  };
  return {
    stdin: (data) => {
      if (data.byteLength === 0) return finish();
      try {
        connection.receive(decoder.write(Buffer.from(data)));
      } catch {
        // Not the language of the runner: the client has ended its session.
        finish();
      }
    },
    signal: finish,
  };
}

interface CommandContext {
  readonly link: AgentLink;
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string;
  readonly send: Send;
  readonly end: () => void;
}

/** One process and its pipes. */
class Command {
  readonly session: Session;
  readonly #context: CommandContext;
  readonly #child: ChildProcess;
  readonly #cwd: string;
  #finished = false;

  constructor(command: string, request: Record<string, unknown>, context: CommandContext) {
    this.#context = context;
    this.#cwd = workingDirectory(request, context);
    this.#child = spawn(command, strings(request['args']), {
      cwd: this.#cwd,
      env: { ...context.env, ...parseEnv(strings(request['env'])) },
      detached: true,
      stdio: 'pipe',
    });
    this.session = { stdin: (data) => this.#stdin(data), signal: (signal) => this.#signal(signal) };
    if (this.#child.pid !== undefined) makeExpendable(this.#child.pid);
    this.#child.on('spawn', () => context.send('core.exec.started', { pid: this.#child.pid ?? 0 }));
    this.#child.on('error', (error) => this.#failed(error));
    this.#child.on('exit', () => setTimeout(() => this.#exited(), LINGER_MS).unref());
    this.#child.on('close', () => this.#exited());
    this.#child.stdin?.on('error', (error) => this.#stdinFailed(error));
    this.#forward(this.#child.stdout, 'core.exec.stdout');
    this.#forward(this.#child.stderr, 'core.exec.stderr');
  }

  #forward(source: Readable | null, type: 'core.exec.stdout' | 'core.exec.stderr'): void {
    source?.on('data', (data: Buffer) => {
      if (this.#context.send(type, { data })) return;
      source.pause();
      this.#context.link.onDrain(() => source.resume());
    });
    source?.on('error', () => {});
  }

  #stdin(data: Uint8Array): void {
    if (data.byteLength === 0) this.#child.stdin?.end();
    else this.#child.stdin?.write(data);
  }

  #stdinFailed(error: Error): void {
    if (this.#finished) return;
    const errno = errnoOf(error);
    const name = errnoNameOf(error);
    this.#context.send('core.exec.stdin.error', {
      message: messageOfError(error),
      ...(errno === undefined || name === undefined ? {} : { errno, errno_name: name }),
    });
  }

  #signal(signal: number): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, signal);
    } catch {
      // It has ended already.
    }
  }

  #exited(): void {
    if (this.#finished) return;
    this.#finished = true;
    const { exitCode, signalCode } = this.#child;
    const code = exitCode ?? 128 + (signalCode === null ? 0 : constants.signals[signalCode]);
    this.#context.end();
    this.#context.send('core.exec.exited', { code });
  }

  #failed(error: Error): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#context.end();
    this.#context.send('core.exec.failed', classify(error, this.#cwd));
  }
}

const KINDS: Readonly<Record<string, ExecFailed['kind']>> = {
  ENOENT: 'not_found',
  EACCES: 'permission_denied',
  EPERM: 'permission_denied',
  ENOEXEC: 'not_executable',
  E2BIG: 'bad_args',
  ELOOP: 'bad_args',
  ENAMETOOLONG: 'bad_args',
  EMFILE: 'resource_limit',
  ENFILE: 'resource_limit',
  EAGAIN: 'resource_limit',
  ENOMEM: 'out_of_memory',
};

function workingDirectory(request: Record<string, unknown>, { workdir }: CommandContext): string {
  return typeof request['cwd'] === 'string' ? request['cwd'] : workdir;
}

function classify(error: unknown, cwd: string): ExecFailed {
  const name = errnoNameOf(error);
  // spawn reports a missing working directory as if the command were missing.
  const badCwd = !isDirectory(cwd);
  return {
    kind: badCwd ? 'bad_cwd' : kindOf(error, name),
    errno: errnoOf(error) ?? null,
    errno_name: name ?? null,
    message: badCwd ? `The working directory "${cwd}" does not exist in the guest` : messageOfError(error),
    stage: badCwd ? 'chdir' : 'execvp',
  };
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function kindOf(error: unknown, errnoName: string | undefined): ExecFailed['kind'] {
  if ((error as NodeJS.ErrnoException).code === 'ERR_INVALID_ARG_VALUE') return 'bad_args';
  return (errnoName === undefined ? undefined : KINDS[errnoName]) ?? 'other';
}

/** What this agent cannot do is said, never left out. */
function refuse({ tty, user, rlimits }: Record<string, unknown>): ExecFailed | undefined {
  if (tty === true) return unsupported('pty_setup_failed', 'This agent has no terminals yet; run without a tty');
  if (typeof user === 'string' && !ROOT.includes(user))
    return unsupported('user_setup_failed', 'This agent runs commands as root only; leave the user out');
  if (Array.isArray(rlimits) && rlimits.length > 0)
    return unsupported('resource_limit', 'This agent sets no resource limits; leave them out');
  return undefined;
}

const ROOT = ['', 'root', '0', 'root:root', '0:0'];

function unsupported(kind: ExecFailed['kind'], message: string): ExecFailed {
  return { kind, errno: null, errno_name: null, message, stage: null };
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function parseEnv(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => [entry.split('=', 1)[0] ?? '', entry.slice(entry.indexOf('=') + 1)]),
  );
}
