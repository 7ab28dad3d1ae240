import { connect, type Socket } from 'node:net';
import { clientOf } from '../../protocol/agent-frames.ts';
import { type AgentMessageType, type AgentPayloads, encodeMessage } from '../../protocol/agent-messages.ts';
import type { AgentLink } from './agent-options.ts';
import { messageOfError } from './errno.ts';
import type { Holder, Intake } from './intake.ts';
import type { Request } from './requests.ts';

/** How many connections one client may have open. */
const MAX_CONNECTIONS = 256;
const CONNECT_TIMEOUT_MS = 30_000;

/** Connections that clients have opened from within the guest. */
export class TcpSessions {
  readonly #link: AgentLink;
  readonly #intake: Intake;
  readonly #connections = new Map<number, Connection>();

  constructor(link: AgentLink, intake: Intake) {
    this.#link = link;
    this.#intake = intake;
  }

  has(id: number): boolean {
    return this.#connections.has(id);
  }

  connect(id: number, request: Request<'core.tcp.connect'>): void {
    const open = [...this.#connections.keys()].filter((other) => clientOf(other) === clientOf(id)).length;
    if (open >= MAX_CONNECTIONS) {
      this.#fail(id, `too many open TCP connections for relay client: ${open}`);
      return;
    }
    const context = { link: this.#link, intake: this.#intake, end: () => this.#connections.delete(id) };
    this.#connections.set(id, new Connection(id, request, context));
  }

  data(id: number, data: Uint8Array): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) this.#fail(id, `unknown TCP session: ${id}`);
    else connection.write(data);
  }

  /** The client sends nothing more. */
  end(id: number): void {
    this.#connections.get(id)?.end();
  }

  close(id: number): void {
    this.#connections.get(id)?.close();
  }

  /** Closes what the clients in this range of ids have opened. */
  forget(start: number, end: number): void {
    for (const [id, connection] of this.#connections) if (id >= start && id < end) connection.abandon();
  }

  #fail(id: number, error: string): void {
    this.#link.send(encodeMessage(id, 'core.tcp.failed', { error }));
  }
}

interface ConnectionContext {
  readonly link: AgentLink;
  readonly intake: Intake;
  readonly end: () => void;
}

class Connection implements Holder {
  readonly #id: number;
  readonly #context: ConnectionContext;
  readonly #socket: Socket;
  readonly #timeout: NodeJS.Timeout;
  #finished = false;

  constructor(id: number, { host, port }: Request<'core.tcp.connect'>, context: ConnectionContext) {
    this.#id = id;
    this.#context = context;
    this.#socket = connect({ host, port, allowHalfOpen: true });
    const where = `connect ${host}:${port}`;
    this.#timeout = setTimeout(() => this.#fail(`${where} timed out`), CONNECT_TIMEOUT_MS);
    this.#socket.on('connect', () => {
      clearTimeout(this.#timeout);
      this.#send('core.tcp.connected', {});
    });
    this.#socket.on('data', (data) => this.#forward(data));
    this.#socket.on('end', () => this.#send('core.tcp.eof', {}));
    this.#socket.on('error', (error) =>
      this.#fail(`${this.#socket.connecting || this.#socket.pending ? where : 'TCP stream'}: ${messageOfError(error)}`),
    );
    this.#socket.on('close', () => this.#finish('core.tcp.closed', {}));
  }

  write(data: Uint8Array): void {
    if (!this.#socket.writable) return;
    this.#context.intake.hold(this, data.byteLength);
    this.#socket.write(data, () => this.#context.intake.release(this, data.byteLength));
  }

  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#finish('core.tcp.closed', {});
  }

  /** Its client is gone; the next one with this id hears nothing of it. */
  abandon(): void {
    this.#finished = true;
    this.#release();
  }

  giveUp(): void {
    this.#fail('the other side does not read what is sent to it');
  }

  #forward(data: Buffer): void {
    if (this.#send('core.tcp.data', { data })) return;
    this.#socket.pause();
    this.#context.link.onDrain(() => this.#socket.resume());
  }

  #fail(error: string): void {
    this.#finish('core.tcp.failed', { error });
  }

  #finish<Type extends AgentMessageType>(type: Type, payload: AgentPayloads[Type]): void {
    if (this.#finished) return;
    this.#send(type, payload);
    this.#finished = true;
    this.#release();
  }

  #release(): void {
    clearTimeout(this.#timeout);
    this.#socket.destroy();
    this.#context.intake.forget(this);
    this.#context.end();
  }

  #send<Type extends AgentMessageType>(type: Type, payload: AgentPayloads[Type]): boolean {
    return this.#finished || this.#context.link.send(encodeMessage(this.#id, type, payload));
  }
}
