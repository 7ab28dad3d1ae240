import type { Duplex } from 'node:stream';
import {
  CLIENT_ID_RANGE,
  encodeFrame,
  FLAG,
  FrameDecoder,
  MAX_CLIENTS,
  type RawFrame,
} from '../protocol/agent-frames.ts';
import { encodeMessage } from '../protocol/agent-messages.ts';

/** One client of the agent, however its bytes get here. */
export interface RelayClient {
  send(bytes: Uint8Array): void;
  /** Bytes that were sent and have not left yet. */
  readonly backlog: number;
  close(reason: string): void;
}

/** What the transport calls. */
export interface RelaySession {
  receive(bytes: Uint8Array): void;
  end(): void;
}

const SIGKILL = 9;

/** A client that does not read holds everybody up from here on, and is dropped when it does not catch up. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;
const STALL_TIMEOUT_MS = 30_000;
const BACKLOG_CHECK_MS = 20;

interface Slot {
  readonly client: RelayClient;
  readonly base: number;
  readonly decoder: FrameDecoder;
  /** Ids of sessions that this client has open. */
  readonly open: Set<number>;
}

/**
 * Shares the one byte stream of a guest's agent among clients.
 *
 * It routes by correlation id and never looks into a message: each client is told a range of ids that is its own, and gets
 * the frames that carry them. When a client goes, what it had started is killed.
 */
export class AgentRelay {
  readonly #agent: Duplex;
  readonly #slots = new Map<number, Slot>();
  readonly #onActivity: () => void;
  #ready: Promise<Uint8Array>;
  #draining = false;

  /** `agent` starts with its `core.ready` frame. `onActivity` is called for traffic that keeps a sandbox from being idle. */
  constructor(agent: Duplex, onActivity: () => void) {
    this.#agent = agent;
    this.#onActivity = onActivity;
    const ready = Promise.withResolvers<Uint8Array>();
    this.#ready = ready.promise;
    this.#ready.catch(() => {});
    const frames = new FrameDecoder();
    agent.on('data', (chunk: Buffer) => {
      try {
        for (const frame of frames.push(chunk)) {
          if (frame.id === 0) ready.resolve(encodeFrame(frame));
          else this.#toClient(frame);
        }
      } catch {
        agent.destroy();
      }
    });
    agent.on('error', () => {});
    agent.on('close', () => {
      ready.reject(new Error('The agent is gone'));
      this.close('The sandbox has ended');
    });
    agent.resume();
  }

  /** Undefined when there is no room for one more client. */
  attach(client: RelayClient): RelaySession | undefined {
    const index = this.#freeSlot();
    if (index === undefined) return undefined;
    const slot: Slot = { client, base: index * CLIENT_ID_RANGE, decoder: new FrameDecoder(), open: new Set() };
    this.#slots.set(index, slot);
    this.#ready.then(
      (ready) => client.send(Buffer.concat([idRange(slot), ready])),
      () => client.close('The sandbox has ended'),
    );
    return {
      receive: (bytes) => this.#fromClient(index, slot, bytes),
      end: () => this.#detach(index),
    };
  }

  close(reason: string): void {
    for (const [index, slot] of this.#slots) {
      this.#slots.delete(index);
      slot.client.close(reason);
    }
    this.#agent.destroy();
  }

  #freeSlot(): number | undefined {
    for (let index = 0; index < MAX_CLIENTS; index++) if (!this.#slots.has(index)) return index;
    return undefined;
  }

  #fromClient(index: number, slot: Slot, bytes: Uint8Array): void {
    try {
      for (const frame of slot.decoder.push(bytes)) {
        // An id of another client's would let this one speak in its name.
        if (frame.id < Math.max(1, slot.base) || frame.id >= slot.base + CLIENT_ID_RANGE)
          throw new RangeError('Not an id of this client');
        if ((frame.flags & FLAG.sessionStart) !== 0) slot.open.add(frame.id);
        this.#onActivity();
        this.#agent.write(encodeFrame(frame));
      }
    } catch {
      this.#detach(index);
      slot.client.close('Protocol error');
    }
  }

  #toClient(frame: RawFrame): void {
    const slot = this.#slots.get(Math.floor(frame.id / CLIENT_ID_RANGE));
    if (slot === undefined) return;
    if ((frame.flags & FLAG.terminal) !== 0) slot.open.delete(frame.id);
    this.#onActivity();
    slot.client.send(encodeFrame(frame));
    if (slot.client.backlog > MAX_BACKLOG_BYTES) void this.#awaitDrain();
  }

  #detach(index: number): void {
    const slot = this.#slots.get(index);
    if (slot === undefined) return;
    this.#slots.delete(index);
    if (this.#agent.destroyed) return;
    for (const id of slot.open)
      this.#agent.write(encodeFrame(encodeMessage(id, 'core.exec.signal', { signal: SIGKILL })));
    const range = { id_start: slot.base, id_end_exclusive: slot.base + CLIENT_ID_RANGE };
    this.#agent.write(encodeFrame(encodeMessage(0, 'core.relay.client.disconnected', range)));
  }

  /** Stops reading from the guest until the slowest client has caught up. */
  async #awaitDrain(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    this.#agent.pause();
    const end = performance.now() + STALL_TIMEOUT_MS;
    const slow = () => [...this.#slots].filter(([, { client }]) => client.backlog > MAX_BACKLOG_BYTES);
    while (slow().length > 0 && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, BACKLOG_CHECK_MS));
    for (const [index, { client }] of slow()) {
      this.#detach(index);
      client.close('The client does not read');
    }
    this.#draining = false;
    this.#agent.resume();
  }
}

function idRange(slot: Slot): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(slot.base, 0);
  bytes.writeUInt32BE(slot.base + CLIENT_ID_RANGE, 4);
  return bytes;
}
