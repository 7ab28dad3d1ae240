import { WebSocket } from 'undici';
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
} from '../protocol/agent-messages.ts';
import type { Deadline } from '../util/deadline.ts';
import type { MicrosandboxClient } from './microsandbox-client.ts';

/** What a command in the guest does; `onEnd` is called once, at last. */
export interface ExecHandlers {
  readonly onStdout: (data: Uint8Array) => void;
  readonly onStderr?: (data: Uint8Array) => void;
  /** The exit code, or why there is none: it could not be started, or the connection is gone. */
  readonly onEnd: (end: number | WorkcellError) => void;
}

/** A running command. */
export interface ExecHandle {
  write(data: Uint8Array): void;
  signal(signal: number): void;
}

interface Route {
  readonly receive: (message: AgentMessage) => void;
  readonly lost: (error: WorkcellError) => void;
}

/** One client's connection to the agent of a sandbox, through the server's WebSocket. */
export class AgentConnection implements Disposable {
  readonly #socket: WebSocket;
  readonly #frames = new FrameDecoder();
  readonly #routes = new Map<number, Route>();
  readonly #ready = Promise.withResolvers<void>();
  #handshake: Buffer = Buffer.alloc(0);
  #range: { next: number; end: number } | undefined;
  #lost: WorkcellError | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.#ready.promise.catch(() => {});
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', (event) => this.#receive(Buffer.from(event.data as ArrayBuffer)));
    socket.addEventListener('close', (event) => this.#close(event.reason || 'the connection was closed'));
    socket.addEventListener('error', () => this.#close('the connection cannot be made'));
  }

  /** Connects and waits until the agent is ready. */
  static async open(client: MicrosandboxClient, sandboxId: string, deadline: Deadline): Promise<AgentConnection> {
    const url = `${client.url.replace(/^http/, 'ws')}/v1/sandboxes/${encodeURIComponent(sandboxId)}/agent`;
    const connection = new AgentConnection(new WebSocket(url, { headers: client.headers }));
    try {
      await deadline.race(connection.#ready.promise);
      return connection;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /** Why this connection is of no use any more, if so. */
  get lost(): WorkcellError | undefined {
    return this.#lost;
  }

  exec(request: ExecRequest, handlers: ExecHandlers): ExecHandle {
    const id = this.#reserveId();
    const end = (result: number | WorkcellError) => {
      if (this.#routes.delete(id)) handlers.onEnd(result);
    };
    this.#routes.set(id, { receive: (message) => dispatchExec(message, handlers, end), lost: end });
    this.#send(id, 'core.exec.request', request);
    return {
      write: (data) => {
        for (let at = 0; at < data.byteLength; at += DATA_CHUNK_BYTES) {
          this.#send(id, 'core.exec.stdin', { data: data.subarray(at, at + DATA_CHUNK_BYTES) });
        }
      },
      signal: (signal) => this.#send(id, 'core.exec.signal', { signal }),
    };
  }

  /** Tells the server that the sandbox is in use. */
  touch(): void {
    if (this.#lost === undefined) this.#send(this.#reserveId(), 'core.touch', {});
  }

  [Symbol.dispose](): void {
    this.#socket.close();
    this.#close('the connection was closed');
  }

  #send<Type extends AgentMessageType>(id: number, type: Type, payload: AgentPayloads[Type]): void {
    if (this.#lost === undefined) this.#socket.send(encodeFrame(encodeMessage(id, type, payload)));
  }

  #receive(data: Buffer): void {
    try {
      for (const frame of this.#frames.push(this.#range === undefined ? this.#shakeHands(data) : data)) {
        const message = decodeMessage(frame);
        if (message === undefined) continue;
        if (message.type === 'core.ready') this.#ready.resolve();
        else this.#routes.get(message.id)?.receive(message);
      }
    } catch {
      this.#close('it does not speak the agent protocol');
      this.#socket.close();
    }
  }

  /** The first eight bytes are the range of ids that is ours; they may come in pieces. */
  #shakeHands(data: Buffer): Buffer {
    this.#handshake = Buffer.concat([this.#handshake, data]);
    if (this.#handshake.byteLength < 8) return Buffer.alloc(0);
    const next = Math.max(1, this.#handshake.readUInt32BE(0));
    this.#range = { next, end: this.#handshake.readUInt32BE(4) };
    return this.#handshake.subarray(8);
  }

  #reserveId(): number {
    const range = this.#range;
    if (this.#lost !== undefined) throw this.#lost;
    if (range === undefined || range.next >= range.end)
      throw new WorkcellError('protocol_error', 'The agent gave out no more ids');
    range.next += 1;
    return range.next - 1;
  }

  #close(reason: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = new WorkcellError('sandbox_lost', `The sandbox is gone: ${reason}`);
    this.#ready.reject(this.#lost);
    for (const route of [...this.#routes.values()]) route.lost(this.#lost);
  }
}

function dispatchExec(
  message: AgentMessage,
  handlers: ExecHandlers,
  end: (result: number | WorkcellError) => void,
): void {
  const payload = (message.payload ?? {}) as { data?: unknown; code?: unknown; message?: unknown };
  if (message.type === 'core.exec.stdout' && payload.data instanceof Uint8Array) handlers.onStdout(payload.data);
  else if (message.type === 'core.exec.stderr' && payload.data instanceof Uint8Array) handlers.onStderr?.(payload.data);
  else if (message.type === 'core.exec.exited') end(Number(payload.code));
  else if (message.type === 'core.exec.failed' || message.type === 'core.error') {
    end(new WorkcellError('protocol_error', `The agent refused the command: ${String(payload.message)}`));
  }
}
