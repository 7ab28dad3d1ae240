import { join } from 'node:path';
import { toWorkcellError, WorkcellError } from '../../../core/errors.ts';
import { RUNTIME_DIRECTORY } from '../../../protocol/guest-bootstrap.ts';
import { PROCESS_GUEST, type ProcessGuestSetup } from '../../../protocol/process-guest.ts';
import { Cleanup } from '../../../util/cleanup.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { Lazy } from '../../../util/lazy.ts';
import type { DriverCapabilities, DriverProbe, Guest, GuestSpec, OnProgress, SandboxDriver } from '../../driver.ts';
import { askForReady } from '../../driver-kit/agent-setup.ts';
import { unavailable } from '../../driver-kit/driver-problems.ts';
import { environmentOf } from '../../driver-kit/environment.ts';
import { obtainRuntime } from '../../guest-runtime/obtain-runtime.ts';
import { bubblewrapArguments, memoryFileSystems, refuseUnenforceable } from './arguments.ts';
import { GuestCgroup, sweepCgroups } from './cgroup.ts';
import { BubblewrapGuest } from './guest.ts';
import { layoutImage } from './image-layout.ts';
import { kernelFiles } from './kernel-files.ts';
import { Launch } from './launch.ts';
import { type BubblewrapHost, probeBubblewrap } from './probe.ts';

export interface BubblewrapDriverOptions {
  /** Folder for the guest runtime. */
  readonly cache: string;
  /** What a guest may have in all, threads and its agent included. Default 1024. */
  readonly processes?: number;
  /** Files that each process in a guest may have open. Default 4096. */
  readonly descriptors?: number;
}

interface Bench {
  readonly host: BubblewrapHost;
  readonly runtime: string;
}

const MIB = 1024 * 1024;
const PROCESSES = 1024;
const DESCRIPTORS = 4096;

/**
 * Guests that are Linux namespaces over the host's own kernel: the weakest isolation, for hosts where nothing else runs.
 *
 * A guest has a root of its own without capabilities, mounts, users, processes, network and names of its own, and a filter
 * over its system calls. A hole in the kernel is a hole in the guest's wall.
 */
export class BubblewrapDriver implements SandboxDriver {
  readonly name = 'bubblewrap';
  readonly isolation = 'process';
  readonly capabilities: DriverCapabilities = {
    images: ['host', 'directory'],
    network: 'proxy',
    mounts: ['directory', 'tmpfs'],
    quotas: false,
    secrets: false,
    adopts: false,
  };
  readonly #options: BubblewrapDriverOptions;
  readonly #booting = new Set<Promise<Guest>>();
  readonly #guests = new Set<BubblewrapGuest>();
  readonly #bench = new Lazy<Bench>();

  constructor(options: BubblewrapDriverOptions) {
    this.#options = options;
  }

  async probe(): Promise<DriverProbe> {
    const { host: _, ...probe } = await probeBubblewrap();
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

  async adopt(): Promise<undefined> {
    return undefined;
  }

  /** Ends every guest; waits for boots, also for what they undo. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#booting);
    await Promise.all([...this.#guests].map((guest) => guest.stop(0)));
  }

  async #boot(spec: GuestSpec, deadline: Deadline): Promise<Guest> {
    refuseUnenforceable(spec);
    const { host, runtime } = await this.#prepareBench(deadline, () => {});
    const undo = new Cleanup();
    let launch: Launch | undefined;
    try {
      const limits = {
        cpus: spec.cpus,
        memoryBytes: spec.memoryMib * MIB,
        processes: this.#options.processes ?? PROCESSES,
        descriptors: this.#options.descriptors ?? DESCRIPTORS,
      };
      const cgroup = await GuestCgroup.create(spec.id, limits);
      undo.add(() => cgroup[Symbol.asyncDispose]());
      const targets = [RUNTIME_DIRECTORY, ...spec.mounts.map(({ target }) => target)];
      const layers = await layoutImage(spec.image, targets);
      const { memoryEvents } = cgroup;
      const args = bubblewrapArguments({ spec, layers, runtime, kernelFiles: await kernelFiles(), memoryEvents });
      deadline.check();
      launch = await Launch.start({ host, arguments: args, cgroup, limits, egress: spec.network !== undefined });
      undo.add(() => launch?.kill());
      await askForReady(launch.agent, PROCESS_GUEST.setup, setupOf(spec), deadline);
      const guest = new BubblewrapGuest({
        launch,
        cgroup,
        memoryBytes: limits.memoryBytes,
        memoryFileSystems: memoryFileSystems(spec),
      });
      this.#guests.add(guest);
      void guest.exited.then(() => this.#guests.delete(guest));
      return guest;
    } catch (error) {
      await undo.run();
      deadline.check();
      const failure = toWorkcellError(error, 'sandbox_boot_failed');
      const said = withoutPaths(launch?.tail ?? '', spec, runtime);
      if (said === '') throw failure;
      throw new WorkcellError('sandbox_boot_failed', `${failure.message}; it said: ${said}`, { cause: error });
    }
  }

  #prepareBench(deadline: Deadline, onProgress: OnProgress): Promise<Bench> {
    return deadline.race(this.#bench.get(() => this.#setUp(onProgress)));
  }

  async #setUp(onProgress: OnProgress): Promise<Bench> {
    const { host, problems } = await probeBubblewrap();
    if (host === undefined || problems.length > 0) throw unavailable(this.name, problems);
    await sweepCgroups();
    return { host, runtime: await obtainRuntime(join(this.#options.cache, 'bubblewrap'), host.busybox, onProgress) };
  }
}

function setupOf({ env, workdir, memoryMib, rlimits, network }: GuestSpec): ProcessGuestSetup {
  return {
    env: {
      PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${RUNTIME_DIRECTORY}/bin`,
      HOME: '/root',
      LANG: 'C.UTF-8',
      TERM: 'dumb',
      ...environmentOf(env),
    },
    workdir,
    egress: network !== undefined,
    memoryBytes: memoryMib * MIB,
    ...(rlimits === undefined ? {} : { rlimits }),
  };
}

/** Bubblewrap names what it cannot mount; where that lies on the host is nobody's business. */
function withoutPaths(text: string, spec: GuestSpec, runtime: string): string {
  const image = spec.image.kind === 'directory' ? [spec.image.path] : [];
  const paths = [
    runtime,
    ...image,
    ...spec.mounts.flatMap((mount) => (mount.kind === 'directory' ? [mount.path] : [])),
  ];
  return paths.reduce((said, path) => said.replaceAll(path, '(a folder of the host)'), text);
}
