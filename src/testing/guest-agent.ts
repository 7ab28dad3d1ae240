import type { Duplex } from 'node:stream';
import { encodeFrame, FLAG, FrameDecoder } from '../protocol/agent-frames.ts';
import { type AgentMessage, decodeMessage, encodeAnyMessage } from '../protocol/agent-messages.ts';
import { Deadline } from '../util/deadline.ts';

const WAIT_MS = 150_000;

/** What became of a command. */
export interface CommandEnd {
  readonly stdout: string;
  readonly stderr: string;
  /** Type and payload of the last message. */
  readonly type: string;
  readonly payload: unknown;
  /** -1 when it did not exit. */
  readonly code: number;
}

/** Speaks the agent protocol over a guest's one stream, as the only client. */
export class GuestAgent {
  /** The first message of all. */
  readonly first: Promise<AgentMessage>;
  readonly stream: Duplex;
  readonly #sessions = new Map<number, (message: AgentMessage) => void>();
  readonly #closed: Promise<never>;
  #last = 0;

  constructor(stream: Duplex) {
    this.stream = stream;
    const first = Promise.withResolvers<AgentMessage>();
    const closed = Promise.withResolvers<never>();
    this.first = first.promise;
    this.#closed = closed.promise;
    this.#closed.catch(() => {});
    const frames = new FrameDecoder();
    stream.on('error', () => {});
    stream.on('close', () => closed.reject(new Error('The stream of the agent has ended')));
    stream.on('data', (chunk: Buffer) => {
      for (const frame of frames.push(chunk)) {
        const message = decodeMessage(frame);
        if (message === undefined) throw new Error('The agent sent something other than a message');
        first.resolve(message);
        this.#sessions.get(message.id)?.(message);
      }
    });
    stream.resume();
  }

  send(id: number, type: string, payload: unknown): void {
    this.stream.write(encodeFrame(encodeAnyMessage(id, type, payload)));
  }

  /** Starts a command; `onMessage` sees what comes of it. The promise has its end. */
  start(request: Readonly<Record<string, unknown>>, onMessage: (message: AgentMessage) => void = () => {}): Started {
    const id = ++this.#last;
    const ended = Promise.withResolvers<CommandEnd>();
    const output = { 'core.exec.stdout': [] as Buffer[], 'core.exec.stderr': [] as Buffer[] };
    this.#sessions.set(id, (message) => {
      onMessage(message);
      const { type, payload } = message;
      if (type === 'core.exec.stdout' || type === 'core.exec.stderr')
        output[type].push(Buffer.from((payload as { data: Uint8Array }).data));
      if ((message.flags & FLAG.terminal) === 0) return;
      this.#sessions.delete(id);
      const { code } = payload as { code?: unknown };
      ended.resolve({
        stdout: Buffer.concat(output['core.exec.stdout']).toString(),
        stderr: Buffer.concat(output['core.exec.stderr']).toString(),
        type,
        payload,
        code: typeof code === 'number' ? code : -1,
      });
    });
    this.send(id, 'core.exec.request', request);
    return { id, end: this.#bounded(ended.promise) };
  }

  /** Runs a line of shell to its end, with `input` as all that it can read. */
  async shell(line: string, input = ''): Promise<CommandEnd> {
    const { id, end } = this.start({ cmd: 'sh', args: ['-c', line] });
    if (input !== '') this.send(id, 'core.exec.stdin', { data: Buffer.from(input) });
    this.send(id, 'core.exec.stdin', { data: Buffer.alloc(0) });
    return end;
  }

  async #bounded<T>(work: Promise<T>): Promise<T> {
    using deadline = new Deadline('A command in a guest', WAIT_MS);
    return await deadline.race(Promise.race([work, this.#closed]));
  }
}

export interface Started {
  readonly id: number;
  readonly end: Promise<CommandEnd>;
}
