import { dirname, join } from 'node:path';
import { z } from 'zod';
import { toWorkcellError } from '../../../core/errors.ts';
import { ForeignProcess } from '../../../util/child.ts';
import { Cleanup } from '../../../util/cleanup.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { Lazy } from '../../../util/lazy.ts';
import { isRunning, processIdSchema } from '../../../util/process-id.ts';
import type {
  DriverCapabilities,
  DriverProbe,
  Guest,
  GuestRecord,
  GuestSpec,
  OnProgress,
  SandboxDriver,
} from '../../driver.ts';
import { unavailable } from '../../driver-kit/driver-problems.ts';
import { obtainRuntime } from '../../guest-runtime/obtain-runtime.ts';
import { type Bench, bootGuest, connectAgent } from './boot-guest.ts';
import { MicrosandboxGuest } from './guest.ts';
import { makeGuestFolder, removeGuestFolder, sweepGuestFolders } from './guest-folder.ts';
import { ImageStore } from './images.ts';
import { endJail, findProcesses } from './jail-processes.ts';
import { probeMicrosandbox } from './probe.ts';

export interface MicrosandboxDriverOptions {
  /** Folder for images, the guest runtime and the state of running guests; its file system must keep extended attributes. */
  readonly cache: string;
}

const recordSchema = z.object({ folder: z.string(), supervisor: processIdSchema });

/**
 * Guests of the stock Microsandbox runtime: libkrun on hardware virtualisation, with Microsandbox's own agent.
 *
 * Each machine monitor lives in a jail that holds what is its guest's and nothing else of this host.
 */
export class MicrosandboxDriver implements SandboxDriver {
  readonly name = 'microsandbox';
  readonly isolation = 'hardware';
  readonly capabilities: DriverCapabilities = {
    images: ['host', 'oci', 'directory', 'disk'],
    network: 'native',
    mounts: ['directory', 'tmpfs'],
    quotas: true,
    secrets: true,
    adopts: true,
  };
  readonly #cache: string;
  readonly #booting = new Set<Promise<Guest>>();
  readonly #guests = new Set<MicrosandboxGuest>();
  readonly #bench = new Lazy<Bench>();

  constructor({ cache }: MicrosandboxDriverOptions) {
    this.#cache = join(cache, 'microsandbox');
  }

  async probe(): Promise<DriverProbe> {
    const { host: _, ...probe } = await probeMicrosandbox();
    return probe;
  }

  async prepare(deadline: Deadline, onProgress: OnProgress): Promise<void> {
    await this.#prepareBench(deadline, onProgress);
  }

  async boot(spec: GuestSpec, deadline: Deadline): Promise<Guest> {
    const booting = this.#boot(spec, deadline);
    this.#booting.add(booting);
    return await booting.finally(() => this.#booting.delete(booting));
  }

  async adopt({ data }: GuestRecord, deadline: Deadline): Promise<Guest | undefined> {
    const found = recordSchema.safeParse(data).data;
    if (found === undefined || dirname(found.folder) !== this.#guestFolders) return undefined;
    const { folder, supervisor: id } = found;
    const supervisor = new ForeignProcess(id);
    const undo = new Cleanup();
    undo.add(() => removeGuestFolder(folder));
    undo.add(() => endJail(supervisor));
    try {
      const processes = (await isRunning(id)) ? await findProcesses(id) : undefined;
      if (processes === undefined) throw new Error('The guest is gone');
      const agent = await connectAgent(folder, undo, deadline);
      const record = { driver: this.name, data };
      return this.#keep(new MicrosandboxGuest({ processes, supervisor, agent, record, release: () => undo.run() }));
    } catch {
      await undo.run();
      return undefined;
    }
  }

  /** Ends every guest, but for those that survive this process; waits for boots, also for what they undo. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#booting);
    await Promise.all([...this.#guests].map((guest) => (guest.record === undefined ? guest.stop(0) : undefined)));
  }

  async #boot(spec: GuestSpec, deadline: Deadline): Promise<Guest> {
    const bench = await this.#prepareBench(deadline, () => {});
    const folder = await makeGuestFolder(bench.guests);
    const undo = new Cleanup();
    undo.add(() => removeGuestFolder(folder));
    try {
      return this.#keep(await bootGuest(bench, spec, folder, undo, deadline));
    } catch (error) {
      await undo.run();
      deadline.check();
      throw toWorkcellError(error, 'sandbox_boot_failed');
    }
  }

  get #guestFolders(): string {
    return join(this.#cache, 'guests');
  }

  #keep(guest: MicrosandboxGuest): Guest {
    this.#guests.add(guest);
    void guest.exited.then(() => this.#guests.delete(guest));
    return guest;
  }

  #prepareBench(deadline: Deadline, onProgress: OnProgress): Promise<Bench> {
    return deadline.race(this.#bench.get(() => this.#setUp(onProgress)));
  }

  async #setUp(onProgress: OnProgress): Promise<Bench> {
    const { host, problems } = await probeMicrosandbox();
    if (host === undefined || problems.length > 0) throw unavailable(this.name, problems);
    await sweepGuestFolders(this.#guestFolders);
    return {
      install: host.install,
      images: new ImageStore(join(this.#cache, 'images'), host.install),
      runtime: await obtainRuntime(this.#cache, host.busybox, onProgress),
      guests: this.#guestFolders,
    };
  }
}
