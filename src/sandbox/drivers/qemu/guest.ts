import { readFile, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WorkcellError } from '../../../core/errors.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { processStat } from '../../../util/process-stat.ts';
import type { Guest, GuestExit, GuestMetrics, StopReport } from '../../driver.ts';
import type { Child } from './child.ts';

export interface QemuGuestParts {
  readonly boot: 'restored' | 'cold';
  readonly machine: Child;
  readonly fileServer: Child;
  /** The agent's socket, claimed and ready. */
  readonly agent: Socket;
  readonly folder: string;
}

const CLOCK_TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

/** A running machine and the processes and files that belong to it. */
export class QemuGuest implements Guest {
  readonly boot: 'restored' | 'cold';
  readonly exited: Promise<GuestExit>;
  readonly #parts: QemuGuestParts;
  #connected = false;
  #asked = false;
  #stopping: Promise<StopReport> | undefined;

  constructor(parts: QemuGuestParts) {
    this.#parts = parts;
    this.boot = parts.boot;
    this.exited = this.#watch();
  }

  async connectAgent(_deadline: Deadline): Promise<Duplex> {
    if (this.#connected) throw new WorkcellError('invalid_state', 'The agent of this guest is connected already');
    this.#connected = true;
    return this.#parts.agent;
  }

  stop(_graceMs: number): Promise<StopReport> {
    // What was acknowledged is on the host's disk, so there is nothing that a slow shutdown of the guest would save.
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async metrics(): Promise<GuestMetrics> {
    const { pid } = this.#parts.machine;
    const [statm, stat] = await Promise.all([readFile(`/proc/${pid}/statm`, 'utf8').catch(() => ''), processStat(pid)]);
    const ticks = (stat?.userTicks ?? 0) + (stat?.systemTicks ?? 0);
    return {
      residentBytes: Number(statm.split(' ')[1] ?? 0) * PAGE_BYTES,
      cpuMs: (ticks * 1000) / CLOCK_TICKS_PER_SECOND,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  async #stop(): Promise<StopReport> {
    this.#asked = true;
    await this.#parts.machine.kill();
    await this.exited;
    return { forced: true };
  }

  async #watch(): Promise<GuestExit> {
    const { machine, fileServer, agent, folder } = this.#parts;
    const first = await Promise.race([
      machine.exited.then((exit) => `the virtual machine ended (${exit.signal ?? `code ${exit.code}`})`),
      fileServer.exited.then(() => 'the file server of the guest ended'),
    ]);
    // Either is useless without the other.
    await Promise.all([machine.kill(), fileServer.kill()]);
    agent.destroy();
    await rm(folder, { recursive: true, force: true });
    return { unexpected: !this.#asked, reason: first };
  }
}
