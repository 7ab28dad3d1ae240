import { WorkcellError } from '../../core/errors.ts';
import { encodeFrame, FrameDecoder } from '../../protocol/agent-frames.ts';
import {
  type AgentMessage,
  type AgentMessageType,
  type AgentPayloads,
  DATA_CHUNK_BYTES,
  decodeMessage,
  type ExecRequest,
  encodeMessage,
} from '../../protocol/agent-messages.ts';
import type { Deadline } from '../../util/deadline.ts';
import type { RelaySession } from '../relay.ts';
import type { Sandbox } from '../sandbox.ts';

export interface CommandHandlers {
  readonly onOutput: (stream: 'stdout' | 'stderr', data: Uint8Array) => void;
  /** Called once, at last: the exit code, or why there is none. */
  readonly onEnd: (end: number | WorkcellError) => void;
}

export interface RunningCommand {
  write(data: Uint8Array): void;
  closeInput(): void;
  /** Kills its process group. */
  kill(): void;
}

const HANDSHAKE_BYTES = 8;
const SIGKILL = 9;

/** This server's own client of a sandbox's agent, without a socket between. */
export class GuestAgent {
  readonly #frames = new FrameDecoder();
  readonly #routes = new Map<number, (message: AgentMessage | WorkcellError) => void>();
  readonly #ready = Promise.withResolvers<void>();
  #session: RelaySession | undefined;
  #handshake: Buffer = Buffer.alloc(0);
  #ids: { next: number; readonly end: number } | undefined;
  #lost: WorkcellError | undefined;

  private constructor() {
    this.#ready.promise.catch(() => {});
  }

  /** Throws `invalid_state` when the sandbox does not run, and `busy` when it has too many clients. */
  static attach(sandbox: Sandbox): GuestAgent {
    const agent = new GuestAgent();
    agent.#session = sandbox.attach({
      send: (bytes) => agent.#receive(Buffer.from(bytes)),
      backlog: 0,
      close: (reason) => agent.#lose(reason),
    });
    return agent;
  }

  /** Resolves when commands can be run; throws `sandbox_lost`. */
  ready(deadline: Deadline): Promise<void> {
    return deadline.race(this.#ready.promise);
  }

  /** Why this is of no use any more, if so. */
  get lost(): WorkcellError | undefined {
    return this.#lost;
  }

  exec(request: ExecRequest, handlers: CommandHandlers): RunningCommand {
    const id = this.#newId();
    this.#routes.set(id, (message) => {
      const end = message instanceof WorkcellError ? message : dispatch(message, handlers);
      if (end === undefined || !this.#routes.delete(id)) return;
      handlers.onEnd(end);
    });
    this.#send(id, 'core.exec.request', request);
    const write = (data: Uint8Array) => this.#send(id, 'core.exec.stdin', { data });
    return {
      write: (data) => {
        for (let at = 0; at < data.byteLength; at += DATA_CHUNK_BYTES) write(data.subarray(at, at + DATA_CHUNK_BYTES));
      },
      closeInput: () => write(new Uint8Array()),
      kill: () => this.#send(id, 'core.exec.signal', { signal: SIGKILL }),
    };
  }

  #send<Type extends AgentMessageType>(id: number, type: Type, payload: AgentPayloads[Type]): void {
    if (this.#lost === undefined) this.#session?.receive(encodeFrame(encodeMessage(id, type, payload)));
  }

  #receive(data: Buffer): void {
    for (const frame of this.#frames.push(this.#ids === undefined ? this.#shakeHands(data) : data)) {
      const message = decodeMessage(frame);
      if (message?.type === 'core.ready') this.#ready.resolve();
      else if (message !== undefined) this.#routes.get(message.id)?.(message);
    }
  }

  /** The first bytes are the range of ids that is ours. */
  #shakeHands(data: Buffer): Buffer {
    this.#handshake = Buffer.concat([this.#handshake, data]);
    if (this.#handshake.byteLength < HANDSHAKE_BYTES) return Buffer.alloc(0);
    this.#ids = { next: Math.max(1, this.#handshake.readUInt32BE(0)), end: this.#handshake.readUInt32BE(4) };
    return this.#handshake.subarray(HANDSHAKE_BYTES);
  }

  #newId(): number {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#ids === undefined || this.#ids.next >= this.#ids.end)
      throw new WorkcellError('busy', 'The agent of this sandbox has no more ids; stop the sandbox and start it again');
    this.#ids.next += 1;
    return this.#ids.next - 1;
  }

  #lose(reason: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = new WorkcellError('sandbox_lost', `The sandbox is gone: ${reason}`);
    this.#ready.reject(this.#lost);
    for (const route of [...this.#routes.values()]) route(this.#lost);
  }
}

/** The end that a message means, if it does. */
function dispatch({ type, payload }: AgentMessage, { onOutput }: CommandHandlers): number | WorkcellError | undefined {
  const fields = (payload ?? {}) as { data?: unknown; code?: unknown; message?: unknown };
  if (type === 'core.exec.exited') return Number(fields.code);
  if (type === 'core.exec.failed' || type === 'core.error')
    return new WorkcellError('not_found', `The command cannot be started: ${String(fields.message)}`);
  if (!(fields.data instanceof Uint8Array)) return undefined;
  if (type === 'core.exec.stdout') onOutput('stdout', fields.data);
  else if (type === 'core.exec.stderr') onOutput('stderr', fields.data);
  return undefined;
}
