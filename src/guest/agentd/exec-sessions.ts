import { constants } from 'node:os';
import { clientOf } from '../../protocol/agent-frames.ts';
import { encodeMessage } from '../../protocol/agent-messages.ts';
import { RUNNER_COMMAND } from '../../protocol/guest-bootstrap.ts';
import { type Account, readAccountFiles, resolveAccount } from './accounts.ts';
import type { AgentOptions } from './agent-options.ts';
import { Command, type CommandContext } from './command.ts';
import { messageOfError } from './errno.ts';
import { ExecFailure } from './exec-failure.ts';
import type { CommandSpec } from './exec-plan.ts';
import type { ExecSession, Send } from './exec-session.ts';
import type { Intake } from './intake.ts';
import type { Request } from './requests.ts';
import { mergeLimits } from './resource-limits.ts';
import { attachRunner } from './runner-session.ts';

/** How many commands one client may have at a time. */
const MAX_COMMANDS = 256;

interface Entry {
  readonly session: ExecSession;
  readonly client: { gone: boolean };
}

type ExecRequest = Request<'core.exec.request'>;

/** Commands that clients have started. */
export class ExecSessions {
  readonly #options: AgentOptions;
  readonly #intake: Intake;
  readonly #sessions = new Map<number, Entry>();

  constructor(options: AgentOptions, intake: Intake) {
    this.#options = options;
    this.#intake = intake;
  }

  /** Undefined when the command has ended, maybe while a message for it was on its way. */
  find(id: number): ExecSession | undefined {
    return this.#sessions.get(id)?.session;
  }

  start(id: number, request: ExecRequest): void {
    const client = { gone: false };
    const send: Send = (type, payload) => client.gone || this.#options.link.send(encodeMessage(id, type, payload));
    const end = () => {
      // A program may come next; until the first command has ended, the CPU was all its own.
      this.#options.supervisor.open();
      if (!client.gone) this.#sessions.delete(id);
    };
    try {
      this.#admit(id);
      const session = this.#begin(request, { link: this.#options.link, intake: this.#intake, send, end });
      this.#sessions.set(id, { session, client });
      if (session instanceof Command) void session.run();
    } catch (error) {
      if (!(error instanceof ExecFailure)) throw error;
      send('core.exec.failed', error.payload);
    }
  }

  /** Kills what the clients in this range of ids have started; the next client with these ids hears nothing of it. */
  forget(start: number, end: number): void {
    for (const [id, { session, client }] of this.#sessions) {
      if (id < start || id >= end) continue;
      this.#sessions.delete(id);
      client.gone = true;
      session.signal(constants.signals.SIGKILL);
    }
  }

  signalAll(signal: number): void {
    for (const { session } of this.#sessions.values()) session.signal(signal);
  }

  #begin(request: ExecRequest, context: CommandContext): ExecSession {
    const { user, rlimits } = this.#options;
    // The runner in this process runs programs as the agent: another user, and limits, need one of their own.
    const ownRunner = (request.user ?? user) !== undefined || request.rlimits.length > 0 || (rlimits ?? []).length > 0;
    if (request.cmd === RUNNER_COMMAND && !ownRunner)
      return attachRunner(this.#options.supervisor, context.send, context.end);
    return new Command(specify(request, this.#options), context);
  }

  #admit(id: number): void {
    const open = [...this.#sessions.keys()].filter((other) => clientOf(other) === clientOf(id)).length;
    if (open < MAX_COMMANDS) return;
    const message = `This client has ${open} commands running, which is as many as there may be`;
    throw new ExecFailure({ kind: 'resource_limit', stage: 'admission', message });
  }
}

function specify(request: ExecRequest, options: AgentOptions): CommandSpec {
  const account = requestedAccount(request, options);
  const requested = Object.fromEntries(
    request.env.flatMap((entry) => {
      const at = entry.indexOf('=');
      return at < 0 ? [] : [[entry.slice(0, at), entry.slice(at + 1)]];
    }),
  );
  return {
    command: request.cmd,
    args: request.args,
    env: {
      ...options.env,
      ...(request.tty && options.env['TERM'] === 'dumb' ? { TERM: 'xterm' } : {}),
      ...(account?.home === undefined ? {} : { HOME: account.home }),
      ...requested,
    },
    cwd: request.cwd ?? options.workdir,
    account: account === undefined || isOwn(account) ? undefined : account,
    limits: mergeLimits(options.rlimits ?? [], request.rlimits),
    terminal: request.tty ? { rows: request.rows, cols: request.cols } : undefined,
  };
}

function requestedAccount(request: ExecRequest, options: AgentOptions): Account | undefined {
  const spec = request.user?.trim() || options.user?.trim();
  if (spec === undefined || spec === '') return undefined;
  try {
    return resolveAccount(spec, readAccountFiles());
  } catch (error) {
    throw new ExecFailure({ kind: 'user_setup_failed', stage: 'getpwnam', message: messageOfError(error) });
  }
}

/** Whether there is nothing to change, which an agent without privileges may always do. */
function isOwn({ uid, gid, groups }: Account): boolean {
  const extra = (list: readonly number[]) => list.filter((group) => group !== gid).sort((a, b) => a - b);
  const [wanted, own] = [extra(groups), extra(process.getgroups?.() ?? [])];
  return process.getuid?.() === uid && process.getgid?.() === gid && wanted.join() === own.join();
}
