import { Duplex } from 'node:stream';
import { WorkcellError } from '../core/errors.ts';
import type { Isolation } from '../core/execution.ts';
import { encodeFrame } from '../protocol/agent-frames.ts';
import { encodeMessage } from '../protocol/agent-messages.ts';
import type {
  DriverCapabilities,
  DriverProbe,
  Guest,
  GuestExit,
  GuestMetrics,
  GuestSpec,
  OnProgress,
  SandboxDriver,
  StopReport,
} from '../sandbox/driver.ts';
import type { Deadline } from '../util/deadline.ts';

/**
 * What goes wrong: a boot that never ends, or ends in the middle; a guest that dies, floods or lies as soon as a client has
 * sent something; one that never says that it is ready.
 */
export type Fault = 'none' | 'hangs' | 'dies-booting' | 'never-ready' | ClientFault;

type ClientFault = 'dies' | 'floods' | 'garbage' | 'wrong-ids' | 'second-ready';

const READY = { boot_time_ns: 1, init_time_ns: 1, ready_time_ns: 1, agent_version: 'faulty' };
const FLOOD = { data: Buffer.alloc(64 * 1024, 'x') };

/** Another driver, of which guests that are booted after {@link fault} was set go wrong in that way. */
export class FaultyDriver implements SandboxDriver {
  fault: Fault = 'none';
  readonly name = 'faulty';
  readonly isolation: Isolation;
  readonly capabilities: DriverCapabilities;
  readonly #inner: SandboxDriver;

  constructor(inner: SandboxDriver) {
    this.#inner = inner;
    this.isolation = inner.isolation;
    this.capabilities = inner.capabilities;
  }

  probe(): Promise<DriverProbe> {
    return this.#inner.probe();
  }

  prepare(deadline: Deadline, onProgress: OnProgress): Promise<void> {
    return this.#inner.prepare(deadline, onProgress);
  }

  async boot(spec: GuestSpec, deadline: Deadline): Promise<Guest> {
    const { fault } = this;
    if (fault === 'hangs') return deadline.race(new Promise<never>(() => {}));
    const guest = await this.#inner.boot(spec, deadline);
    if (fault === 'none') return guest;
    if (fault !== 'dies-booting') return new FaultyGuest(guest, fault);
    await guest.stop(0);
    throw new WorkcellError('sandbox_boot_failed', 'The guest died while it was starting');
  }

  async adopt(): Promise<undefined> {
    return undefined;
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#inner[Symbol.asyncDispose]();
  }
}

class FaultyGuest implements Guest {
  readonly boot: Guest['boot'];
  readonly exited: Promise<GuestExit>;
  readonly #inner: Guest;
  readonly #fault: 'never-ready' | ClientFault;
  #died = false;

  constructor(inner: Guest, fault: 'never-ready' | ClientFault) {
    this.#inner = inner;
    this.#fault = fault;
    this.boot = inner.boot;
    this.exited = inner.exited.then((exit) => (this.#died ? { unexpected: true, reason: 'it died' } : exit));
  }

  async connectAgent(deadline: Deadline): Promise<Duplex> {
    const inner = await this.#inner.connectAgent(deadline);
    const outer = this.#wrap(inner);
    inner.on('error', () => {});
    inner.on('close', () => outer.destroy());
    if (this.#fault === 'never-ready') inner.resume();
    else inner.on('data', (chunk) => outer.push(chunk)).resume();
    return outer;
  }

  stop(graceMs: number): Promise<StopReport> {
    return this.#inner.stop(graceMs);
  }

  metrics(): Promise<GuestMetrics> {
    return this.#inner.metrics();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  #wrap(inner: Duplex): Duplex {
    let flooded = 0;
    const outer = new Duplex({
      read: () => {
        // As fast as it is read.
        while (flooded > 0 && outer.push(encodeFrame(encodeMessage(flooded, 'core.exec.stdout', FLOOD))));
      },
      write: (chunk: Buffer, _encoding, done) => {
        if (this.#fault === 'floods') flooded = chunk.readUInt32BE(4);
        this.#misbehave(outer);
        inner.write(chunk, () => done());
      },
      destroy: (error, done) => {
        inner.destroy();
        done(error);
      },
    });
    return outer;
  }

  #misbehave(outer: Duplex): void {
    switch (this.#fault) {
      case 'dies':
        this.#died = true;
        void this.#inner.stop(0);
        return;
      case 'garbage':
        outer.push(Buffer.alloc(64, 0xff));
        return;
      case 'wrong-ids':
        // Of a client that may be there some day, and of none ever.
        for (const id of [0x7fff_ffff, 0xffff_ffff])
          outer.push(encodeFrame(encodeMessage(id, 'core.exec.exited', { code: 0 })));
        return;
      case 'second-ready':
        outer.push(encodeFrame(encodeMessage(0, 'core.ready', READY)));
        return;
      case 'floods':
        outer.read(0);
        return;
      case 'never-ready':
        return;
      default:
        this.#fault satisfies never;
    }
  }
}
