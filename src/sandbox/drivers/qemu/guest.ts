import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WorkcellError } from '../../../core/errors.ts';
import type { BootKind } from '../../../core/execution.ts';
import type { ChildExit, HostProcess } from '../../../util/child.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { ownId } from '../../../util/process-id.ts';
import type { Guest, GuestExit, GuestMetrics, GuestRecord, StopReport } from '../../driver.ts';
import { writeGuestFile } from './guest-file.ts';
import { egressSocket, memoryFile } from './machine.ts';
import { measureGuest } from './metrics.ts';
import { connectUnix } from './unix-socket.ts';

export interface QemuGuestParts {
  readonly boot: BootKind;
  readonly machine: HostProcess;
  readonly fileServer: HostProcess;
  /** The agent's socket, claimed and ready. */
  readonly agent: Socket;
  readonly folder: string;
  /** Whether it was promised connections to the outside. */
  readonly network: boolean;
  /** Present when the guest may survive this process. */
  readonly record?: GuestRecord;
  /** Whether it is on disk whose it is. */
  readonly kept: boolean;
}

/** How much later than its file server a machine may be seen to have ended. */
const MACHINE_ENDS_MS = 250;
/** The same, when the file server has ended as it does when its machine hangs up: freeing a guest's memory takes a while. */
const MACHINE_HUNG_UP_MS = 5_000;

/** A running machine and the processes and files that belong to it. */
export class QemuGuest implements Guest {
  readonly boot: BootKind;
  readonly record?: GuestRecord;
  /** Why it is not from the pool, when there is a pool. */
  readonly poolBypass?: string;
  readonly exited: Promise<GuestExit>;
  readonly connectEgress?: (deadline: Deadline) => Promise<Duplex>;
  readonly #parts: QemuGuestParts;
  #kept: boolean;
  #connected = false;
  #asked = false;
  #stopping: Promise<StopReport> | undefined;

  constructor(parts: QemuGuestParts, poolBypass?: string) {
    this.#parts = parts;
    this.boot = parts.boot;
    this.#kept = parts.kept;
    if (parts.record !== undefined) this.record = parts.record;
    if (poolBypass !== undefined) this.poolBypass = poolBypass;
    if (parts.network) this.connectEgress = (deadline) => connectUnix(egressSocket(parts.folder), deadline);
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

  /** Says on disk whose it is; a guest of which nothing is said there is ended by the next process. */
  async keep(): Promise<void> {
    if (this.record === undefined) return;
    await writeGuestFile(this.#parts.folder, { owner: await ownId() });
    this.#kept = true;
  }

  get kept(): boolean {
    return this.#kept;
  }

  /** Lets go of a guest that is kept, for another process to adopt it; ends any other. */
  async release(): Promise<void> {
    if (this.#kept) this.#parts.agent.destroy();
    else await this.stop(0);
  }

  metrics(): Promise<GuestMetrics> {
    const { machine, fileServer, folder } = this.#parts;
    return measureGuest(machine.pid, fileServer.pid, memoryFile(folder));
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
    const machineEnded = machine.exited.then(reasonOf);
    const fileServerEnded = fileServer.exited.then(async ({ code }) => {
      // It hangs up when its machine does, and may be seen to have ended before it.
      const waitMs = code === 0 ? MACHINE_HUNG_UP_MS : MACHINE_ENDS_MS;
      await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
      return 'the file server of the guest ended';
    });
    const first = await Promise.race([machineEnded, fileServerEnded]);
    // Either is useless without the other.
    await Promise.all([machine.kill(), fileServer.kill()]);
    agent.destroy();
    await rm(folder, { recursive: true, force: true });
    return { unexpected: !this.#asked, reason: first };
  }
}

/** QEMU ends by itself in the same way whatever the guest does to end it. */
function reasonOf({ code, signal }: ChildExit): string {
  if (signal !== null) return `the virtual machine ended (${signal})`;
  if (code === 0)
    return 'the virtual machine ended: its kernel panicked, or it was rebooted or powered off from inside';
  return code === null ? 'the virtual machine ended' : `QEMU failed with exit code ${code}`;
}
