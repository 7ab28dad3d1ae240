import { WorkcellError } from '../core/errors.ts';
import { encodeFrame, FrameDecoder } from '../protocol/agent-frames.ts';
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
} from '../protocol/agent-messages.ts';
import type { Deadline } from '../util/deadline.ts';
import type { AgentRelay, RelaySession } from './relay.ts';

/** The server itself as a client of a guest's agent. Commands that it has started end when it is closed. */
export class GuestCaller implements Disposable {
  readonly #session: RelaySession;
  readonly #frames = new FrameDecoder();
  readonly #waiting = new Map<number, PromiseWithResolvers<AgentMessage>>();
  readonly #ready = Promise.withResolvers<void>();
  #nextId = 0;

  private constructor(
    session: (receive: (bytes: Uint8Array) => void, close: (reason: string) => void) => RelaySession,
  ) {
    this.#ready.promise.catch(() => {});
    this.#session = session(
      (bytes) => this.#receive(bytes),
      (reason) => this.#close(reason),
    );
  }

  /** Throws `busy` when the guest has too many clients already. */
  static async open(relay: AgentRelay, deadline: Deadline): Promise<GuestCaller> {
    const caller = new GuestCaller((send, close) => {
      const session = relay.attach({ send, backlog: 0, close });
      if (session === undefined) throw new WorkcellError('busy', 'The sandbox has too many clients');
      return session;
    });
    await deadline.race(caller.#ready.promise);
    return caller;
  }

  /** One operation on the guest's files. Throws `invalid_state` with what the agent says about it. */
  async fs(op: FsOperation, deadline: Deadline): Promise<FsResponseData | undefined> {
    const { answer } = this.#start('core.fs.request', { op });
    return responseData(await deadline.race(answer));
  }

  async writeFile(path: string, content: Uint8Array, options: FsOpenOptions, deadline: Deadline): Promise<void> {
    const opened = await this.fs({ OpenFile: { path, options } }, deadline);
    if (opened === undefined || !('Handle' in opened)) throw new WorkcellError('protocol_error', 'No file was opened');
    const handle = opened.Handle;
    const { id, answer } = this.#start('core.fs.request', {
      op: { Write: { handle, offset: 0, len: content.byteLength } },
    });
    for (let at = 0; at < content.byteLength; at += DATA_CHUNK_BYTES) {
      this.#send(id, 'core.fs.data', { data: content.subarray(at, at + DATA_CHUNK_BYTES) });
    }
    this.#send(id, 'core.fs.data', { data: new Uint8Array() });
    responseData(await deadline.race(answer));
    await this.fs({ CloseHandle: { handle } }, deadline);
  }

  /** Starts a command without input; its output is in the sandbox's log. Resolves when it ends. */
  async exec(request: ExecRequest): Promise<void> {
    const { id, answer } = this.#start('core.exec.request', request);
    this.#send(id, 'core.exec.stdin', { data: new Uint8Array() });
    const { type, payload } = await answer;
    if (type !== 'core.exec.failed') return;
    throw new WorkcellError('invalid_state', String((payload as { message?: unknown })?.message));
  }

  [Symbol.dispose](): void {
    this.#session.end();
    this.#close('The caller has left');
  }

  #start<Type extends AgentMessageType>(
    type: Type,
    payload: AgentPayloads[Type],
  ): { readonly id: number; readonly answer: Promise<AgentMessage> } {
    const id = this.#nextId;
    this.#nextId += 1;
    const waiting = Promise.withResolvers<AgentMessage>();
    waiting.promise.catch(() => {});
    this.#waiting.set(id, waiting);
    this.#send(id, type, payload);
    return { id, answer: waiting.promise };
  }

  #send<Type extends AgentMessageType>(id: number, type: Type, payload: AgentPayloads[Type]): void {
    this.#session.receive(encodeFrame(encodeMessage(id, type, payload)));
  }

  /** What comes first is the range of ids, eight bytes in front of `core.ready`, in one piece. */
  #receive(bytes: Uint8Array): void {
    const handshake = this.#nextId === 0;
    if (handshake) this.#nextId = Math.max(1, new DataView(bytes.buffer, bytes.byteOffset).getUint32(0));
    for (const frame of this.#frames.push(handshake ? bytes.subarray(8) : bytes)) {
      const message = decodeMessage(frame);
      if (message === undefined) continue;
      if (message.type === 'core.ready') this.#ready.resolve();
      if (!ENDS.includes(message.type)) continue;
      this.#waiting.get(message.id)?.resolve(message);
      this.#waiting.delete(message.id);
    }
  }

  #close(reason: string): void {
    const error = new WorkcellError('sandbox_lost', reason);
    this.#ready.reject(error);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

const ENDS = ['core.fs.response', 'core.exec.exited', 'core.exec.failed', 'core.error'];

function responseData({ type, payload }: AgentMessage): FsResponseData | undefined {
  const { ok, error, data, message } = (payload ?? {}) as {
    ok?: unknown;
    error?: unknown;
    data?: unknown;
    message?: unknown;
  };
  if (type === 'core.fs.response' && ok === true) return (data ?? undefined) as FsResponseData | undefined;
  throw new WorkcellError('invalid_state', String(error ?? message ?? 'The agent refuses'));
}
