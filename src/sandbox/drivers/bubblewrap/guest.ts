import { statfs } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { WorkcellError } from '../../../core/errors.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { descendantsOf } from '../../../util/process-tree.ts';
import type { Guest, GuestExit, GuestMetrics, StopReport } from '../../driver.ts';
import type { GuestCgroup } from './cgroup.ts';
import type { Launch } from './launch.ts';
import { usageOf } from './measure.ts';

export interface BubblewrapGuestParts {
  readonly launch: Launch;
  readonly cgroup: GuestCgroup;
  readonly memoryBytes: number;
  /** Places of the guest's file systems that lie in memory. */
  readonly memoryFileSystems: readonly string[];
}

const WATCH_MS = 250;

/** A running guest: its processes and its control group. */
export class BubblewrapGuest implements Guest {
  readonly boot = 'cold';
  readonly exited: Promise<GuestExit>;
  readonly connectEgress?: (deadline: Deadline) => Promise<Duplex>;
  readonly #parts: BubblewrapGuestParts;
  #connected = false;
  #asked = false;
  #overLimit = false;
  #stopping: Promise<StopReport> | undefined;

  constructor(parts: BubblewrapGuestParts) {
    this.#parts = parts;
    const { egress } = parts.launch;
    if (egress !== undefined) this.connectEgress = async () => egress;
    this.exited = this.#watch();
    if (!parts.cgroup.controllers.has('memory')) void this.#watchMemory();
  }

  async connectAgent(_deadline: Deadline): Promise<Duplex> {
    if (this.#connected) throw new WorkcellError('invalid_state', 'The agent of this guest is connected already');
    this.#connected = true;
    return this.#parts.launch.agent;
  }

  stop(_graceMs: number): Promise<StopReport> {
    // What was acknowledged is on the host's disk, so there is nothing that a slow shutdown of the guest would save.
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async metrics(): Promise<GuestMetrics> {
    const { launch, memoryFileSystems } = this.#parts;
    const { privateBytes, cpuMs } = await usageOf(launch.pid);
    const inside = [...(await descendantsOf(launch.pid)).keys()].at(-1);
    const sizes = memoryFileSystems.map((target) => usedBytes(`/proc/${inside}/root${target}`));
    const residentBytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, privateBytes);
    return { residentBytes, overheadBytes: 0, cpuMs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  async #stop(): Promise<StopReport> {
    this.#asked = true;
    await this.#parts.launch.kill();
    await this.exited;
    return { forced: true };
  }

  async #watch(): Promise<GuestExit> {
    const { launch, cgroup } = this.#parts;
    const reason = await launch.exited;
    launch.agent.destroy();
    launch.egress?.destroy();
    await cgroup[Symbol.asyncDispose]();
    return this.#overLimit
      ? { unexpected: true, reason: 'the guest used more than its memory' }
      : { unexpected: !this.#asked, reason };
  }

  /** Where no control group counts the memory of all processes together, the guest is ended when it has too much. */
  async #watchMemory(): Promise<void> {
    const { launch, memoryBytes } = this.#parts;
    let over = false;
    const ended = this.exited.then(() => true);
    while (!over && !(await Promise.race([ended, later(WATCH_MS)])))
      over = (await this.metrics()).residentBytes > memoryBytes;
    if (!over) return;
    this.#overLimit = true;
    await launch.kill();
  }
}

async function usedBytes(path: string): Promise<number> {
  const info = await statfs(path).catch(() => undefined);
  return info === undefined ? 0 : (info.blocks - info.bfree) * info.bsize;
}

function later(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms).unref());
}
