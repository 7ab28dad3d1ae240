import type { Duplex } from 'node:stream';
import { WorkcellError } from '../core/errors.ts';
import {
  CLIENT_IDS,
  clientOf,
  encodeFrame,
  FLAG,
  FrameDecoder,
  MAX_CLIENTS,
  type RawFrame,
} from '../protocol/agent-frames.ts';
import { decodeMessage, type ExecRequest, encodeMessage } from '../protocol/agent-messages.ts';
import { RUNNER_COMMAND } from '../protocol/guest-bootstrap.ts';

/** One client of the agent, however its bytes get here. */
export interface RelayClient {
  send(bytes: Uint8Array): void;
  /** Bytes that were sent and have not left yet. */
  readonly backlog: number;
  close(reason: string): void;
}

/** What the relay notices about the traffic. */
export interface RelayObserver {
  /** Called for traffic that keeps a sandbox from being idle. */
  onActivity(): void;
  /** What a command has written; `session` tells commands apart. Both streams of a terminal are `output`. */
  onOutput(source: 'stdout' | 'stderr' | 'output', session: number, data: Uint8Array): void;
  onSessionEnd(session: number): void;
  /** Called once, when the stream of the agent is over: it ended, it broke the protocol, or the relay was closed. */
  onEnd(): void;
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

/** A touch says nothing, so it is short in any encoding. */
const TOUCH_BYTES = 64;

interface Command {
  readonly session: number;
  readonly tty: boolean;
}

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
 * It routes by correlation id: each client is told a range of ids that is its own, and gets the frames that carry them.
 * It never changes a message. It looks into those that start a command and into what commands write, for the log, and at
 * the type of the smallest, to tell a touch from a ping. When a client goes, what it had started is killed.
 */
export class AgentRelay {
  readonly #agent: Duplex;
  readonly #slots = new Map<number, Slot>();
  readonly #observer: RelayObserver;
  /** Commands whose output is observed, by correlation id. */
  readonly #commands = new Map<number, Command>();
  #sessions = 0;
  #ready: Promise<Uint8Array>;
  #draining = false;

  /** `agent` starts with its `core.ready` frame. */
  constructor(agent: Duplex, observer: RelayObserver) {
    this.#agent = agent;
    this.#observer = observer;
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
      observer.onEnd();
    });
    agent.resume();
  }

  /** Throws `busy` when there is no room for one more client. */
  attach(client: RelayClient): RelaySession {
    const index = this.#freeSlot();
    const slot: Slot = { client, base: index * CLIENT_IDS, decoder: new FrameDecoder(), open: new Set() };
    this.#slots.set(index, slot);
    this.#ready.then(
      (ready) => {
        if (this.#agent.destroyed) client.close('The sandbox has ended');
        else client.send(Buffer.concat([idRange(slot), ready]));
      },
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

  #freeSlot(): number {
    for (let index = 0; index < MAX_CLIENTS; index++) if (!this.#slots.has(index)) return index;
    throw new WorkcellError('busy', `The sandbox has ${MAX_CLIENTS} clients already; close one of them`);
  }

  #fromClient(index: number, slot: Slot, bytes: Uint8Array): void {
    try {
      for (const frame of slot.decoder.push(bytes)) {
        // An id of another client's would let this one speak in its name.
        if (frame.id < Math.max(1, slot.base) || frame.id >= slot.base + CLIENT_IDS)
          throw new RangeError('Not an id of this client');
        if ((frame.flags & FLAG.sessionStart) !== 0) {
          slot.open.add(frame.id);
          this.#noteCommand(frame);
        }
        if (slot.open.has(frame.id) || isTouch(frame)) this.#observer.onActivity();
        this.#agent.write(encodeFrame(frame));
      }
    } catch {
      this.#detach(index);
      slot.client.close('Protocol error');
    }
  }

  #toClient(frame: RawFrame): void {
    const slot = this.#slots.get(clientOf(frame.id));
    if (slot === undefined) return;
    // An answer outside of a session is one to a ping or a touch, or an error: none of them keeps a sandbox awake.
    if (slot.open.has(frame.id)) this.#observer.onActivity();
    this.#noteOutput(frame);
    if ((frame.flags & FLAG.terminal) !== 0) {
      slot.open.delete(frame.id);
      this.#forgetCommand(frame.id);
    }
    slot.client.send(encodeFrame(frame));
    if (slot.client.backlog > MAX_BACKLOG_BYTES) void this.#awaitDrain();
  }

  /** The runner's output is frames of our own, with what tools were told and answered: not for the log. */
  #noteCommand(frame: RawFrame): void {
    const message = decodeMessage(frame);
    if (message?.type !== 'core.exec.request') return;
    const { cmd, tty } = (message.payload ?? {}) as Partial<ExecRequest>;
    if (cmd === RUNNER_COMMAND) return;
    this.#sessions += 1;
    this.#commands.set(frame.id, { session: this.#sessions, tty: tty === true });
  }

  #noteOutput(frame: RawFrame): void {
    const command = this.#commands.get(frame.id);
    if (command === undefined) return;
    const message = decodeMessage(frame);
    const data = (message?.payload as { data?: unknown } | undefined)?.data;
    if (!(data instanceof Uint8Array)) return;
    if (message?.type === 'core.exec.stdout')
      this.#observer.onOutput(command.tty ? 'output' : 'stdout', command.session, data);
    else if (message?.type === 'core.exec.stderr') this.#observer.onOutput('stderr', command.session, data);
  }

  #forgetCommand(id: number): void {
    const command = this.#commands.get(id);
    if (command === undefined) return;
    this.#commands.delete(id);
    this.#observer.onSessionEnd(command.session);
  }

  #detach(index: number): void {
    const slot = this.#slots.get(index);
    if (slot === undefined) return;
    this.#slots.delete(index);
    for (const id of slot.open) this.#forgetCommand(id);
    if (this.#agent.destroyed) return;
    for (const id of slot.open)
      this.#agent.write(encodeFrame(encodeMessage(id, 'core.exec.signal', { signal: SIGKILL })));
    const range = { id_start: slot.base, id_end_exclusive: slot.base + CLIENT_IDS };
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

/** A ping asks whether the agent is there and is no use of the sandbox; a touch says that there is one. */
function isTouch(frame: RawFrame): boolean {
  return frame.body.byteLength <= TOUCH_BYTES && decodeMessage(frame)?.type === 'core.touch';
}

function idRange(slot: Slot): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(slot.base, 0);
  bytes.writeUInt32BE(slot.base + CLIENT_IDS, 4);
  return bytes;
}
