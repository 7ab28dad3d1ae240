import { mkdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { WorkcellError } from '../../../core/errors.ts';
import type { Isolation } from '../../../core/execution.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { Lazy } from '../../../util/lazy.ts';
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
import { hasKvm } from '../../driver-kit/kvm.ts';
import { adoptGuest } from './adopt-guest.ts';
import { type GuestAssets, obtainAssets } from './assets.ts';
import type { QemuGuest } from './guest.ts';
import { GuestPool, type PoolOptions } from './pool.ts';
import { type ClaimOrigin, PrimedGuest } from './primed-guest.ts';
import { probeQemu, type QemuHost } from './probe.ts';
import { makeRunDirectory, ORPHAN_GRACE_MS, sweepRunDirectories } from './run-directory.ts';
import { findTemplate, makeTemplate, type Template } from './template.ts';

export interface QemuDriverOptions {
  /** Folder for the kernel, the guest runtime and templates. */
  readonly cache: string;
  /** False boots every guest from scratch. Default true. */
  readonly template?: boolean;
  /** Size of the machines that {@link SandboxDriver.prepare} makes a template for, and of those that wait in the pool. */
  readonly defaults: { readonly cpus: number; readonly memoryMib: number };
  /** Threads that everything in a guest may have together. Default 1024. */
  readonly processes?: number;
  /** Files that each process in a guest may have open. Default 4096. */
  readonly descriptors?: number;
  /** Guests of the image `host` that wait for a customer. Default none. */
  readonly pool?: PoolOptions;
}

const PROCESSES = 1024;
const DESCRIPTORS = 4096;

interface Bench {
  readonly host: QemuHost;
  readonly assets: GuestAssets;
  readonly runDirectory: string;
}

interface MachineSize {
  readonly cpus: number;
  readonly memoryMib: number;
}

/**
 * Guests in QEMU: with KVM where the CPU offers it, emulated otherwise.
 *
 * Each guest has one virtiofs share, assembled on the host, and is a restored copy of a template that holds the kernel and
 * the guest runtime but nothing of any customer. It is primed, which is nobody's business yet, and then claimed; a guest
 * from the pool has been primed before.
 */
export class QemuDriver implements SandboxDriver {
  readonly name = 'qemu';
  readonly capabilities: DriverCapabilities = {
    images: ['host', 'directory'],
    network: 'proxy',
    mounts: ['directory', 'tmpfs'],
    quotas: false,
    secrets: false,
    adopts: true,
  };
  readonly isolation: Isolation;
  readonly #options: QemuDriverOptions;
  readonly #templates = new Map<string, Promise<Template>>();
  readonly #booting = new Set<Promise<QemuGuest>>();
  readonly #guests = new Set<QemuGuest>();
  readonly #bench = new Lazy<Bench>();
  #pool: GuestPool | undefined;
  #sweepTimer: NodeJS.Timeout | undefined;

  private constructor(options: QemuDriverOptions, isolation: Isolation) {
    this.#options = options;
    this.isolation = isolation;
  }

  static async create(options: QemuDriverOptions): Promise<QemuDriver> {
    return new QemuDriver(options, (await hasKvm()) ? 'hardware' : 'emulated');
  }

  /** How many guests wait for a customer now. */
  get waiting(): number {
    return this.#pool?.waiting ?? 0;
  }

  async probe(): Promise<DriverProbe> {
    const { host: _, ...probe } = await probeQemu();
    return probe;
  }

  async prepare(deadline: Deadline, onProgress: OnProgress): Promise<void> {
    const bench = await this.#prepareBench(deadline, onProgress);
    if (this.#options.template !== false) await this.#template(bench, this.#options.defaults, deadline, onProgress);
    this.#pool?.refill();
  }

  async boot(spec: GuestSpec, deadline: Deadline): Promise<Guest> {
    if (!this.capabilities.images.includes(spec.image.kind))
      throw new WorkcellError('unsupported', `The driver "qemu" cannot boot an image of the kind "${spec.image.kind}"`);
    if (spec.survives === true && !this.capabilities.adopts)
      throw new WorkcellError('unsupported', 'The driver "qemu" cannot keep a guest for the next server process');
    const booting = this.#boot(spec, deadline);
    this.#booting.add(booting);
    return await booting.finally(() => this.#booting.delete(booting));
  }

  async adopt(record: GuestRecord, deadline: Deadline): Promise<Guest | undefined> {
    const guest = await adoptGuest(record, deadline);
    if (guest === undefined) return undefined;
    const { folder, guest: adopted } = guest;
    // The run directory of the process that has started it goes with its last guest.
    void adopted.exited.then(() => rmdir(dirname(folder)).catch(() => {}));
    return this.#own(adopted);
  }

  /** Ends every guest, but for those that survive this process; waits for boots, also for what they undo. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#sweepTimer);
    await this.#pool?.close();
    await Promise.allSettled(this.#booting);
    const survivors = [...this.#guests].some(({ kept }) => kept);
    await Promise.all([...this.#guests].map((guest) => guest.release()));
    const bench = await this.#bench.find();
    if (bench === undefined) return;
    if (!survivors) await rm(bench.runDirectory, { recursive: true, force: true });
    // Guests of earlier processes may have ended since the last look, and nobody may come after us for a long time.
    await sweepRunDirectories();
  }

  async #boot(spec: GuestSpec, deadline: Deadline): Promise<QemuGuest> {
    const bench = await this.#prepareBench(deadline, () => {});
    const pool = this.#pool;
    if (pool === undefined) return this.#own(await this.#bootAnew(bench, spec, undefined, deadline));
    return this.#own(await pool.during(() => this.#bootFromPool(pool, bench, spec, deadline)));
  }

  async #bootFromPool(pool: GuestPool, bench: Bench, spec: GuestSpec, deadline: Deadline): Promise<QemuGuest> {
    const bypass = pool.bypass(spec);
    while (bypass === undefined) {
      const waiting = pool.take();
      if (waiting === undefined) break;
      try {
        return await waiting.claim(spec, { boot: 'pooled', limits: this.#limits }, deadline);
      } catch (error) {
        // One that died a moment ago, unnoticed, is no reason to fail.
        if (!waiting.diedBeforeClaim) throw error;
      }
    }
    return this.#bootAnew(bench, spec, bypass ?? 'no guest waits in the pool', deadline);
  }

  async #bootAnew(
    bench: Bench,
    spec: GuestSpec,
    poolBypass: string | undefined,
    deadline: Deadline,
  ): Promise<QemuGuest> {
    const template = await this.#templateFor(bench, spec, deadline);
    const { image, cpus, memoryMib, mounts, survives = false } = spec;
    const plan = { ...bench, ...template, image, cpus, memoryMib, survives, rehearse: false, mounts };
    const guest = await PrimedGuest.start(plan, deadline);
    const boot = template.template === undefined ? 'cold' : 'restored';
    const from = { boot, limits: this.#limits } as const;
    return guest.claim(spec, { ...from, ...(poolBypass === undefined ? {} : { poolBypass }) }, deadline);
  }

  get #limits(): ClaimOrigin['limits'] {
    const { processes = PROCESSES, descriptors = DESCRIPTORS } = this.#options;
    return { processes, descriptors };
  }

  #own(guest: QemuGuest): QemuGuest {
    this.#guests.add(guest);
    void guest.exited.then(() => this.#guests.delete(guest));
    return guest;
  }

  #prepareBench(deadline: Deadline, onProgress: OnProgress): Promise<Bench> {
    return deadline.race(this.#bench.get(() => this.#setUp(deadline, onProgress)));
  }

  async #setUp(deadline: Deadline, onProgress: OnProgress): Promise<Bench> {
    const { host, problems } = await probeQemu();
    if (host === undefined || problems.length > 0) throw unavailable(this.name, problems);
    const cache = join(this.#options.cache, 'qemu');
    await mkdir(cache, { recursive: true });
    const assets = await obtainAssets(cache, deadline, onProgress);
    await this.#sweep();
    const bench = { host, assets, runDirectory: await makeRunDirectory() };
    this.#pool = this.#openPool(bench);
    return bench;
  }

  /** Again later, when guests are left that may still be adopted. */
  async #sweep(): Promise<void> {
    const orphans = await sweepRunDirectories();
    if (orphans > 0) this.#sweepTimer = setTimeout(() => void this.#sweep(), ORPHAN_GRACE_MS).unref();
  }

  #openPool(bench: Bench): GuestPool | undefined {
    const { pool, defaults } = this.#options;
    if (pool === undefined || pool.size === 0) return undefined;
    const shape = { image: { kind: 'host' }, ...defaults, survives: pool.survives ?? false } as const;
    return new GuestPool(shape, pool, async (deadline) => {
      const template = await this.#templateFor(bench, defaults, deadline);
      return PrimedGuest.start({ ...bench, ...template, ...shape, rehearse: true }, deadline);
    });
  }

  async #templateFor(bench: Bench, size: MachineSize, deadline: Deadline): Promise<{ template?: Template }> {
    if (this.#options.template === false) return {};
    return { template: await this.#template(bench, size, deadline, () => {}) };
  }

  /** One template for each size of machine; whoever comes while it is being made waits for the same one. */
  #template(
    { host, assets, runDirectory }: Bench,
    { cpus, memoryMib }: MachineSize,
    deadline: Deadline,
    onProgress: OnProgress,
  ): Promise<Template> {
    const cache = join(this.#options.cache, 'qemu');
    const key = `${cpus}/${memoryMib}`;
    const obtain = async (): Promise<Template> => {
      const machine = { ...host, assets, cpus, memoryMib };
      const found = await findTemplate(cache, machine, host.qemuVersion);
      if (found !== undefined) return found;
      onProgress(`booting a template of ${cpus} CPU and ${memoryMib} MiB, once`);
      return makeTemplate(cache, machine, host.qemuVersion, runDirectory, deadline);
    };
    const template = this.#templates.get(key) ?? obtain();
    this.#templates.set(key, template);
    template.catch(() => this.#templates.delete(key));
    return deadline.race(template);
  }
}
