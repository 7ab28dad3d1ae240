import { duplexPair } from 'node:stream';
import { encodeFrame, FrameDecoder, type RawFrame } from '../../src/protocol/agent-frames.ts';
import {
  type AgentMessageType,
  type AgentPayloads,
  decodeMessage,
  encodeMessage,
} from '../../src/protocol/agent-messages.ts';
import type { Guest, GuestExit, GuestSpec, SandboxDriver } from '../../src/sandbox/driver.ts';

/**
 * Guests that live in the test's own process, for what has to do with time and order only: they boot when the test lets them,
 * can be deaf, can die, and can outlive their driver. Their agent knows one command: it writes its first argument to
 * stdout and its second to stderr.
 */
export class ScriptedDriver implements SandboxDriver {
  readonly name = 'scripted';
  readonly isolation = 'process';
  readonly capabilities: SandboxDriver['capabilities'];
  /** All guests that live, by sandbox; shared by the drivers of one "machine". */
  readonly world: Map<string, ScriptedGuest>;
  readonly specs: GuestSpec[] = [];
  /** Boots wait for it, and do not listen to deadlines. */
  gate: Promise<unknown> = Promise.resolve();
  /** Guests wait for it before they end. */
  stopGate: Promise<unknown> = Promise.resolve();
  /** Sandboxes whose guests have been stopped. */
  readonly stopped: string[] = [];

  constructor(options: { readonly adopts?: boolean; readonly world?: Map<string, ScriptedGuest> } = {}) {
    const { adopts = false, world = new Map() } = options;
    this.world = world;
    this.capabilities = {
      images: ['host', 'directory'],
      network: 'none',
      mounts: ['directory', 'tmpfs'],
      quotas: true,
      secrets: true,
      adopts,
    };
  }

  async probe() {
    return { ready: true, isolation: this.isolation, problems: [], facts: {} } as const;
  }

  async prepare(): Promise<void> {}

  async boot(spec: GuestSpec): Promise<Guest> {
    this.specs.push(spec);
    await this.gate;
    const guest = new ScriptedGuest(spec, this);
    this.world.set(spec.id, guest);
    return guest;
  }

  async adopt({ data }: { readonly data: unknown }): Promise<Guest | undefined> {
    return this.world.get(String(data));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

export class ScriptedGuest implements Guest {
  readonly boot = 'cold';
  readonly exited: Promise<GuestExit>;
  readonly record?: { readonly driver: string; readonly data: unknown };
  readonly #id: string;
  readonly #driver: ScriptedDriver;
  readonly #exit = Promise.withResolvers<GuestExit>();

  constructor({ id, survives }: GuestSpec, driver: ScriptedDriver) {
    this.#id = id;
    this.#driver = driver;
    this.exited = this.#exit.promise;
    if (survives === true) this.record = { driver: driver.name, data: id };
  }

  async connectAgent() {
    const [host, guest] = duplexPair();
    const send = (frame: RawFrame) => guest.write(encodeFrame(frame));
    send(encodeMessage(0, 'core.ready', { boot_time_ns: 0, init_time_ns: 0, ready_time_ns: 0, agent_version: 'test' }));
    const frames = new FrameDecoder();
    guest.on('error', () => {});
    guest.on('data', (chunk: Buffer) => {
      for (const frame of frames.push(chunk)) answer(frame, send);
    });
    return host;
  }

  die(reason: string): void {
    this.#driver.world.delete(this.#id);
    this.#exit.resolve({ unexpected: true, reason });
  }

  async stop() {
    await this.#driver.stopGate;
    this.#driver.world.delete(this.#id);
    this.#driver.stopped.push(this.#id);
    this.#exit.resolve({ unexpected: false, reason: 'stopped' });
    return { forced: false };
  }

  async metrics() {
    return { residentBytes: 0, cpuMs: 0, overheadBytes: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function answer(frame: RawFrame, send: (frame: RawFrame) => void): void {
  const message = decodeMessage(frame);
  const say = <Type extends AgentMessageType>(type: Type, payload: AgentPayloads[Type]) =>
    send(encodeMessage(frame.id, type, payload));
  if (message?.type === 'core.ping') say('core.pong', {});
  if (message?.type === 'core.touch') say('core.touched', { activity_seq: 1 });
  if (message?.type !== 'core.exec.request') return;
  const { args = [] } = message.payload as { args?: readonly string[] };
  say('core.exec.started', { pid: 1 });
  if (args[0]) say('core.exec.stdout', { data: Buffer.from(args[0]) });
  if (args[1]) say('core.exec.stderr', { data: Buffer.from(args[1]) });
  say('core.exec.exited', { code: 0 });
}
