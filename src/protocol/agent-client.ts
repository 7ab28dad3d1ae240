import { WorkcellError } from '../core/errors.ts';
import { encodeFrame, FrameDecoder } from './agent-frames.ts';
import {
  type AgentMessage,
  type AgentMessageType,
  type AgentPayloads,
  DATA_CHUNK_BYTES,
  decodeMessage,
  type ExecRequest,
  encodeMessage,
  type FsOpenOptions,
  type FsOperation,
  type FsResponseData,
} from './agent-messages.ts';

/** What carries a client's bytes to the relay of the agent. */
export interface AgentTransport {
  send(bytes: Uint8Array): void;
  close(): void;
}

export interface ExecHandlers {
  readonly onOutput: (stream: 'stdout' | 'stderr', data: Uint8Array) => void;
  /** Called once, at last: the exit code, or why there is none: `not_found` when it cannot be started, `sandbox_lost`. */
  readonly onEnd: (end: number | WorkcellError) => void;
}

/** A running command. */
export interface ExecHandle {
  write(data: Uint8Array): void;
  closeInput(): void;
  signal(signal: number): void;
}

/** `[id_min u32 BE][id_max u32 BE]`, before the first frame. */
const HANDSHAKE_BYTES = 8;

/** One client of a sandbox's agent, over any transport. What it has started ends when it is disposed of. */
export class AgentClient implements Disposable {
  /** Resolves when the agent takes requests; rejects with `sandbox_lost`. */
  readonly ready: Promise<void>;
  readonly #transport: AgentTransport;
  readonly #ready = Promise.withResolvers<void>();
  readonly #frames = new FrameDecoder();
  readonly #routes = new Map<number, (message: AgentMessage | WorkcellError) => void>();
  #handshake: Buffer = Buffer.alloc(0);
  /** The ids that are ours. */
  #ids: { next: number; readonly end: number } | undefined;
  #lost: WorkcellError | undefined;

  constructor(transport: AgentTransport) {
    this.#transport = transport;
    this.ready = this.#ready.promise;
    this.ready.catch(() => {});
  }

  /** Why this is of no use any more, if so. */
  get lost(): WorkcellError | undefined {
    return this.#lost;
  }

  /** For the transport: bytes of the agent's. */
  receive(bytes: Uint8Array): void {
    try {
      for (const frame of this.#frames.push(this.#ids === undefined ? this.#shakeHands(bytes) : bytes)) {
        const message = decodeMessage(frame);
        if (message?.type === 'core.ready') this.#ready.resolve();
        else if (message !== undefined) this.#routes.get(message.id)?.(message);
      }
    } catch {
      this.lose('it does not speak the agent protocol');
      this.#transport.close();
    }
  }

  /** For the transport: nothing comes any more. */
  lose(reason: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = new WorkcellError('sandbox_lost', `The sandbox is gone: ${reason}`);
    this.#ready.reject(this.#lost);
    for (const route of [...this.#routes.values()]) route(this.#lost);
    this.#routes.clear();
  }

  /** Throws `sandbox_lost`, and `busy` when all ids of this client were used. */
  exec(request: ExecRequest, handlers: ExecHandlers): ExecHandle {
    const id = this.#newId();
    this.#routes.set(id, (message) => {
      const end = message instanceof WorkcellError ? message : dispatchExec(message, handlers);
      if (end !== undefined && this.#routes.delete(id)) handlers.onEnd(end);
    });
    this.#send(id, 'core.exec.request', request);
    const write = (data: Uint8Array) => this.#send(id, 'core.exec.stdin', { data });
    return {
      write: (data) => chunksOf(data).forEach(write),
      closeInput: () => write(new Uint8Array()),
      signal: (signal) => this.#send(id, 'core.exec.signal', { signal }),
    };
  }

  /** Tells the server that the sandbox is in use. */
  touch(): void {
    if (this.#lost === undefined) this.#send(this.#newId(), 'core.touch', {});
  }

  /** One operation on the guest's files. Throws `invalid_state` with what the agent says about it. */
  fs(op: FsOperation): Promise<FsResponseData | undefined> {
    return this.#fs(op, () => {});
  }

  /** Throws like {@link fs}. */
  async writeFile(path: string, content: Uint8Array, options: FsOpenOptions): Promise<void> {
    const opened = await this.fs({ OpenFile: { path, options } });
    if (opened === undefined || !('Handle' in opened))
      throw new WorkcellError('protocol_error', 'The agent opened a file and gave no handle to it');
    const handle = opened.Handle;
    await this.#fs({ Write: { handle, offset: 0, len: content.byteLength } }, (id) => {
      for (const data of [...chunksOf(content), new Uint8Array()]) this.#send(id, 'core.fs.data', { data });
    });
    await this.fs({ CloseHandle: { handle } });
  }

  [Symbol.dispose](): void {
    this.#transport.close();
    this.lose('the connection was closed');
  }

  async #fs(op: FsOperation, follow: (id: number) => void): Promise<FsResponseData | undefined> {
    const answer = Promise.withResolvers<FsResponseData | undefined>();
    const id = this.#newId();
    this.#routes.set(id, (message) => {
      if (message instanceof WorkcellError) return answer.reject(message);
      if (message.type !== 'core.fs.response' && message.type !== 'core.error') return;
      this.#routes.delete(id);
      try {
        answer.resolve(responseData(message));
      } catch (error) {
        answer.reject(error);
      }
    });
    this.#send(id, 'core.fs.request', { op });
    follow(id);
    return answer.promise;
  }

  #send<Type extends AgentMessageType>(id: number, type: Type, payload: AgentPayloads[Type]): void {
    if (this.#lost === undefined) this.#transport.send(encodeFrame(encodeMessage(id, type, payload)));
  }

  /** The first bytes are the range of ids that is ours; they may come in pieces. */
  #shakeHands(bytes: Uint8Array): Uint8Array {
    this.#handshake = Buffer.concat([this.#handshake, bytes]);
    if (this.#handshake.byteLength < HANDSHAKE_BYTES) return new Uint8Array();
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
}

/** The end that a message means, if it does. */
function dispatchExec({ type, payload }: AgentMessage, { onOutput }: ExecHandlers): number | WorkcellError | undefined {
  const fields = (payload ?? {}) as { data?: unknown; code?: unknown; message?: unknown };
  if (type === 'core.exec.exited') return Number(fields.code);
  if (type === 'core.exec.failed' || type === 'core.error')
    return new WorkcellError('not_found', `The command cannot be started: ${String(fields.message)}`);
  if (!(fields.data instanceof Uint8Array)) return undefined;
  if (type === 'core.exec.stdout') onOutput('stdout', fields.data);
  else if (type === 'core.exec.stderr') onOutput('stderr', fields.data);
  return undefined;
}

function responseData({ type, payload }: AgentMessage): FsResponseData | undefined {
  const fields = (payload ?? {}) as { ok?: unknown; error?: unknown; data?: unknown; message?: unknown };
  if (type === 'core.fs.response' && fields.ok === true)
    return (fields.data ?? undefined) as FsResponseData | undefined;
  throw new WorkcellError('invalid_state', String(fields.error ?? fields.message ?? 'The agent refuses'));
}

function chunksOf(data: Uint8Array): Uint8Array[] {
  const count = Math.ceil(data.byteLength / DATA_CHUNK_BYTES);
  return Array.from({ length: count }, (_, index) =>
    data.subarray(index * DATA_CHUNK_BYTES, (index + 1) * DATA_CHUNK_BYTES),
  );
}
