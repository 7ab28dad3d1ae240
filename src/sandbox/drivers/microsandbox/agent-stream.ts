import { connect, type Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { CLIENT_IDS, encodeFrame, FLAG, FrameDecoder, type RawFrame } from '../../../protocol/agent-frames.ts';
import { decodeMessage, encodeMessage } from '../../../protocol/agent-messages.ts';
import type { Deadline } from '../../../util/deadline.ts';

/** `[id_min u32][id_max u32]`, before the first frame of each connection. */
const HANDSHAKE_BYTES = 8;

/**
 * The one byte stream of a guest's agent, over Microsandbox's own relay.
 *
 * That relay shares the agent too: it gives each connection a range of ids and cleans up after it. So each range of ours
 * that is in use has a connection of its own, and an id keeps its place within its range. One more connection, without a
 * range of ours, brings `core.ready` and tells when the guest has ended.
 */
export class AgentStream {
  /** Starts with the `core.ready` frame. */
  readonly stream: Duplex;
  readonly #path: string;
  readonly #near: Duplex;
  readonly #main: Link;
  readonly #links = new Map<number, Link>();

  private constructor(path: string, main: Link, ready: RawFrame) {
    [this.stream, this.#near] = duplexPair();
    this.#path = path;
    this.#main = main;
    const decoder = new FrameDecoder();
    this.#near.write(encodeFrame(ready));
    this.#near.on('data', (chunk: Buffer) => {
      try {
        for (const frame of decoder.push(chunk)) this.#forward(frame);
      } catch {
        this.close();
      }
    });
    this.#near.on('close', () => this.close());
    this.#near.on('error', () => this.close());
    this.#near.on('drain', () => this.#all().forEach((link) => void link.resume()));
    main.onFrame = () => {};
    main.onClose = () => this.close();
    main.resume();
  }

  /** Connects to the socket at `path`, which must stay valid. */
  static async open(path: string, deadline: Deadline): Promise<AgentStream> {
    const main = new Link(path);
    try {
      const ready = Promise.withResolvers<RawFrame>();
      main.onFrame = ready.resolve;
      main.onClose = () => ready.reject(new Error('The agent of the guest hung up'));
      const frame = await deadline.race(ready.promise);
      return new AgentStream(path, main, frame);
    } catch (error) {
      main.close();
      throw error;
    }
  }

  /** Asks the guest to end. */
  shutdown(): void {
    this.#main.send(encodeMessage(0, 'core.shutdown', {}));
  }

  close(): void {
    for (const link of this.#all()) link.close();
    this.#links.clear();
    this.#near.destroy();
    this.stream.destroy();
  }

  #all(): Link[] {
    return [this.#main, ...this.#links.values()];
  }

  #forward(frame: RawFrame): void {
    if (frame.id === 0) {
      this.#control(frame);
      return;
    }
    const range = Math.floor(frame.id / CLIENT_IDS);
    const link = this.#links.get(range) ?? this.#connect(range);
    if (!link.send({ ...frame, id: frame.id % CLIENT_IDS })) {
      this.#near.pause();
      link.onDrain = () => void this.#near.resume();
    }
  }

  /** What our own relay says for itself: a client has gone, which is what the end of a connection means there. */
  #control(frame: RawFrame): void {
    const message = decodeMessage(frame);
    if (message?.type !== 'core.relay.client.disconnected') return;
    const { id_start: start } = message.payload as { id_start: number };
    const range = Math.floor(start / CLIENT_IDS);
    this.#links.get(range)?.close();
    this.#links.delete(range);
  }

  #connect(range: number): Link {
    const link = new Link(this.#path);
    this.#links.set(range, link);
    const base = range * CLIENT_IDS;
    // The first frame is one more `core.ready`.
    link.onFrame = () => {
      link.onFrame = (frame) => this.#deliver(link, { ...frame, id: base + frame.id });
    };
    link.onClose = () => {
      if (this.#links.get(range) !== link) return;
      this.#links.delete(range);
      const lost = { kind: 'invalid_session', message: 'The connection to the agent was lost' } as const;
      for (const id of link.open) this.#deliver(link, encodeMessage(base + id, 'core.error', lost));
    };
    return link;
  }

  #deliver(link: Link, frame: RawFrame): void {
    if (!this.#near.write(encodeFrame(frame))) link.pause();
  }
}

/** One connection to the runtime's relay; ids are relative to the start of its range. */
class Link {
  onFrame: (frame: RawFrame) => void = () => {};
  onClose: () => void = () => {};
  onDrain: () => void = () => {};
  /** Sessions that have not ended. */
  readonly open = new Set<number>();
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  #handshake = Buffer.alloc(0);
  /** The first id of its range. Undefined until the handshake; what is sent before waits. */
  #first: number | undefined;
  #waiting: RawFrame[] = [];

  constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.on('data', (chunk: Buffer) => {
      try {
        this.#receive(chunk);
      } catch {
        this.#socket.destroy();
      }
    });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => this.onClose());
    this.#socket.on('drain', () => this.onDrain());
  }

  /** False when the other side cannot follow; `onDrain` is called when it can again. */
  send(frame: RawFrame): boolean {
    if ((frame.flags & FLAG.sessionStart) !== 0) this.open.add(frame.id);
    if (this.#first === undefined) {
      this.#waiting.push(frame);
      return false;
    }
    const id = frame.id === 0 && (frame.flags & FLAG.shutdown) !== 0 ? 0 : frame.id + this.#first;
    return this.#socket.write(encodeFrame({ ...frame, id }));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    let rest = chunk;
    if (this.#first === undefined) {
      this.#handshake = Buffer.concat([this.#handshake, chunk]);
      if (this.#handshake.byteLength < HANDSHAKE_BYTES) return;
      rest = this.#handshake.subarray(HANDSHAKE_BYTES);
      this.#first = this.#handshake.readUInt32BE(0);
      for (const frame of this.#waiting.splice(0)) this.send(frame);
      this.onDrain();
    }
    for (const frame of this.#decoder.push(rest)) {
      const id = frame.id === 0 ? 0 : frame.id - this.#first;
      if ((frame.flags & FLAG.terminal) !== 0) this.open.delete(id);
      this.onFrame({ ...frame, id });
    }
  }
}
