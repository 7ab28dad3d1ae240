import { once } from 'node:events';
import { WebSocket } from 'ws';
import { encodeFrame, FLAG, FrameDecoder } from '../../src/protocol/agent-frames.ts';
import { type AgentMessage, decodeMessage, encodeAnyMessage } from '../../src/protocol/agent-messages.ts';
import { eventually } from './processes.ts';
import { API_KEY, type TestServer } from './sandbox-server.ts';

/** A client of a sandbox's agent that shows every message as it is, and may break the rules. */
export class AgentClient {
  readonly messages: AgentMessage[] = [];
  readonly socket: WebSocket;
  range = { start: 0, end: 0 };
  #next = 0;

  private constructor(socket: WebSocket) {
    this.socket = socket;
  }

  /** Resolves after `core.ready`. */
  static async open({ url }: Pick<TestServer, 'url'>, sandboxId: string): Promise<AgentClient> {
    const address = `${url.replace('http', 'ws')}/v1/sandboxes/${sandboxId}/agent`;
    const socket = new WebSocket(address, { headers: { authorization: `Bearer ${API_KEY}` } });
    const client = new AgentClient(socket);
    const frames = new FrameDecoder();
    let first = true;
    socket.on('message', (data: Buffer) => {
      for (const frame of frames.push(first ? client.#takeRange(data) : data)) {
        const message = decodeMessage(frame);
        if (message !== undefined) client.messages.push(message);
      }
      first = false;
    });
    await once(socket, 'open');
    await eventually(() => client.messages.some(({ type }) => type === 'core.ready'));
    return client;
  }

  /** An id of this client that was not used yet. */
  newId(): number {
    this.#next += 1;
    return this.range.start + this.#next;
  }

  send(id: number, type: string, payload: unknown = {}): void {
    this.socket.send(encodeFrame(encodeAnyMessage(id, type, payload)));
  }

  of(id: number): readonly AgentMessage[] {
    return this.messages.filter((message) => message.id === id);
  }

  /** Everything that came for an id up to its last message. */
  async untilEnd(id: number): Promise<readonly AgentMessage[]> {
    await eventually(() => this.of(id).some(({ flags }) => (flags & FLAG.terminal) !== 0));
    return this.of(id);
  }

  async request(type: string, payload: unknown): Promise<readonly AgentMessage[]> {
    const id = this.newId();
    this.send(id, type, payload);
    return this.untilEnd(id);
  }

  /** Runs a command to its end, with `input` on its standard input. */
  async exec(request: Readonly<Record<string, unknown>>, input = ''): Promise<ExecOutcome> {
    const id = this.newId();
    this.send(id, 'core.exec.request', request);
    if (input !== '') this.send(id, 'core.exec.stdin', { data: Buffer.from(input) });
    this.send(id, 'core.exec.stdin', { data: Buffer.alloc(0) });
    return outcomeOf(await this.untilEnd(id));
  }

  #takeRange(data: Buffer): Buffer {
    this.range = { start: data.readUInt32BE(0), end: data.readUInt32BE(4) };
    return data.subarray(8);
  }
}

export interface ExecOutcome {
  readonly stdout: string;
  readonly stderr: string;
  /** The payload of the last message. */
  readonly end: unknown;
}

export function outcomeOf(messages: readonly AgentMessage[]): ExecOutcome {
  const text = (type: string) =>
    Buffer.concat(
      messages.filter((message) => message.type === type).map(({ payload }) => (payload as { data: Buffer }).data),
    ).toString();
  return { stdout: text('core.exec.stdout'), stderr: text('core.exec.stderr'), end: messages.at(-1)?.payload };
}
