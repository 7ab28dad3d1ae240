import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toWorkcellError, WorkcellError } from '../../../core/errors.ts';
import type { Isolation } from '../../../core/execution.ts';
import { Cleanup } from '../../../util/cleanup.ts';
import { Deadline } from '../../../util/deadline.ts';
import type { DriverCapabilities, DriverProbe, Guest, GuestSpec, OnProgress, SandboxDriver } from '../../driver.ts';
import { awaitWaiting, claim } from './agent-link.ts';
import { type GuestAssets, obtainAssets } from './assets.ts';
import { Child, tailOf } from './child.ts';
import { QemuGuest } from './guest.ts';
import { hasKvm } from './host-tools.ts';
import { agentSocket, machineCommand, plugCommands, qmpSocket } from './machine.ts';
import { probeQemu, type QemuHost } from './probe.ts';
import { Qmp } from './qmp.ts';
import { makeRunDirectory, sweepRunDirectories } from './run-directory.ts';
import { copyMemory, findTemplate, makeTemplate, restoreState, type Template } from './template.ts';
import { connectUnix } from './unix-socket.ts';
import { serveView, type View } from './view.ts';

export interface QemuDriverOptions {
  /** Folder for the kernel, the guest runtime and templates. */
  readonly cache: string;
  /** False boots every guest from scratch. Default true. */
  readonly template?: boolean;
  /** Size of the machines that {@link SandboxDriver.prepare} makes a template for. */
  readonly defaults: { readonly cpus: number; readonly memoryMib: number };
}

interface Bench {
  readonly host: QemuHost;
  readonly assets: GuestAssets;
  readonly runDirectory: string;
}

/**
 * Guests in QEMU: with KVM where the CPU offers it, emulated otherwise.
 *
 * Each guest has one virtiofs share, assembled on the host, and is a restored copy of a template that holds the kernel and
 * the guest runtime but nothing of any customer.
 */
export class QemuDriver implements SandboxDriver {
  readonly name = 'qemu';
  readonly capabilities: DriverCapabilities = {
    images: ['host', 'directory'],
    network: 'none',
    mounts: ['directory', 'tmpfs'],
    adopts: false,
  };
  readonly isolation: Isolation;
  readonly #options: QemuDriverOptions;
  readonly #templates = new Map<string, Promise<Template>>();
  readonly #guests = new Set<QemuGuest>();
  #bench: Promise<Bench> | undefined;

  private constructor(options: QemuDriverOptions, isolation: Isolation) {
    this.#options = options;
    this.isolation = isolation;
  }

  static async create(options: QemuDriverOptions): Promise<QemuDriver> {
    return new QemuDriver(options, (await hasKvm()) ? 'hardware' : 'emulated');
  }

  async probe(): Promise<DriverProbe> {
    const { host: _, ...probe } = await probeQemu();
    return probe;
  }

  async prepare(deadline: Deadline, onProgress: OnProgress): Promise<void> {
    const bench = await this.#prepareBench(deadline, onProgress);
    if (this.#options.template !== false) await this.#template(bench, this.#options.defaults, deadline, onProgress);
  }

  async boot(spec: GuestSpec, deadline: Deadline): Promise<Guest> {
    if (!this.capabilities.images.includes(spec.image.kind))
      throw new WorkcellError('unsupported', `The driver "qemu" cannot boot an image of the kind "${spec.image.kind}"`);
    if (spec.survives === true && !this.capabilities.adopts)
      throw new WorkcellError('unsupported', 'The driver "qemu" cannot keep a guest for the next server process');
    const bench = await this.#prepareBench(deadline, () => {});
    const template =
      this.#options.template === false ? undefined : await this.#template(bench, spec, deadline, () => {});
    const folder = await mkdtemp(join(bench.runDirectory, 'guest-'));
    const undo = new Cleanup();
    undo.add(() => rm(folder, { recursive: true, force: true }));
    try {
      using attempt = new Boot(bench, spec, folder, undo, deadline);
      const guest = await attempt.run(template);
      this.#guests.add(guest);
      void guest.exited.then(() => this.#guests.delete(guest));
      return guest;
    } catch (error) {
      const console = await tailOf(join(folder, 'console.log'), 500);
      await undo.run();
      deadline.check();
      const failure = toWorkcellError(error, 'sandbox_boot_failed');
      if (console === '') throw failure;
      throw new WorkcellError('sandbox_boot_failed', `${failure.message}; its console ends with: ${console}`, {
        cause: error,
      });
    }
  }

  async adopt(): Promise<undefined> {
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#guests].map((guest) => guest.stop(0)));
    const bench = await this.#bench?.catch(() => undefined);
    if (bench !== undefined) await rm(bench.runDirectory, { recursive: true, force: true });
  }

  #prepareBench(deadline: Deadline, onProgress: OnProgress): Promise<Bench> {
    this.#bench ??= this.#setUp(deadline, onProgress).catch((error) => {
      this.#bench = undefined;
      throw error;
    });
    return deadline.race(this.#bench);
  }

  async #setUp(deadline: Deadline, onProgress: OnProgress): Promise<Bench> {
    const { host, problems } = await probeQemu();
    if (host === undefined || problems.length > 0) throw unavailable(problems);
    const cache = join(this.#options.cache, 'qemu');
    await mkdir(cache, { recursive: true });
    const assets = await obtainAssets(cache, deadline, onProgress);
    await sweepRunDirectories();
    return { host, assets, runDirectory: await makeRunDirectory() };
  }

  /** One template for each size of machine; whoever comes while it is being made waits for the same one. */
  #template(
    { host, assets, runDirectory }: Bench,
    { cpus, memoryMib }: { cpus: number; memoryMib: number },
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

/** One boot; what it has acquired is in `undo` until the guest owns it. */
class Boot implements Disposable {
  readonly #bench: Bench;
  readonly #spec: GuestSpec;
  readonly #folder: string;
  readonly #undo: Cleanup;
  readonly #died = new AbortController();
  readonly #deadline: Deadline;

  constructor(bench: Bench, spec: GuestSpec, folder: string, undo: Cleanup, deadline: Deadline) {
    this.#bench = bench;
    this.#spec = spec;
    this.#folder = folder;
    this.#undo = undo;
    // Waiting for a machine that is gone would only end with the time.
    const signal = AbortSignal.any([deadline.signal, this.#died.signal]);
    this.#deadline = new Deadline(`Booting sandbox "${spec.hostname}"`, deadline.remainingMs, { signal });
  }

  async run(template: Template | undefined): Promise<QemuGuest> {
    const folder = this.#folder;
    const memory = join(folder, 'memory');
    const copied = template === undefined ? undefined : copyMemory(template, memory, this.#deadline);
    const view = await settled(this.#serveView(), copied);
    const machine = await this.#startMachine(memory, view, template);
    const [qmp, agent] = await Promise.all([
      Qmp.connect(qmpSocket(folder), this.#deadline),
      connectUnix(agentSocket(folder), this.#deadline),
    ]);
    this.#undo.add(() => void agent.destroy());
    if (template === undefined) await awaitWaiting(agent, this.#deadline);
    else await this.#resume(template, view, qmp);
    // Nothing is asked of the machine after this; a control socket that nobody holds is one door less.
    qmp.close();
    const { hostname, env, workdir } = this.#spec;
    await claim(agent, { hostname, env, workdir, tag: view.tag, mounts: view.mounts }, this.#deadline);
    const boot = template === undefined ? 'cold' : 'restored';
    return new QemuGuest({ boot, machine, fileServer: view.daemon, agent, folder });
  }

  [Symbol.dispose](): void {
    this.#deadline[Symbol.dispose]();
  }

  async #serveView(): Promise<View> {
    const options = { folder: this.#folder, virtiofsd: this.#bench.host.virtiofsd };
    const view = await serveView(this.#spec, options, this.#deadline);
    this.#undo.add(() => view.daemon.kill());
    return view;
  }

  async #startMachine(memory: string, view: View, template: Template | undefined): Promise<Child> {
    const { host, assets } = this.#bench;
    const { cpus, memoryMib } = this.#spec;
    const share = template === undefined ? { share: view } : {};
    const command = machineCommand({
      ...host,
      assets,
      cpus,
      memoryMib,
      folder: this.#folder,
      memory,
      ...share,
      incoming: template !== undefined,
    });
    const machine = await Child.start(command, join(this.#folder, 'qemu.log'));
    this.#undo.add(() => machine.kill());
    void machine.exited.then(async () => {
      this.#died.abort(
        new WorkcellError('sandbox_boot_failed', `QEMU ended while it was starting: ${await machine.tail()}`),
      );
    });
    return machine;
  }

  /** The share is plugged in while the machine is still paused, so that the guest finds it as soon as it wakes up. */
  async #resume(template: Template, view: View, qmp: Qmp): Promise<void> {
    await restoreState(template, qmp, this.#folder, this.#deadline);
    for (const [command, args] of plugCommands(view)) await qmp.execute(command, args, this.#deadline);
    await qmp.execute('cont', {}, this.#deadline);
  }
}

/** Both or neither: the second failure is not left without somebody who sees it. */
async function settled<T>(first: Promise<T>, second: Promise<void> | undefined): Promise<T> {
  const [one, two] = await Promise.allSettled([first, second]);
  if (one.status === 'rejected') throw one.reason;
  if (two.status === 'rejected') throw two.reason;
  return one.value;
}

function unavailable(problems: readonly { what: string; fix: string }[]): WorkcellError {
  const reasons = problems.map(({ what, fix }) => `${what}: ${fix}`).join('; ');
  return new WorkcellError(
    'driver_unavailable',
    `The driver "qemu" cannot run here. ${reasons}. \`workcell setup\` does what it can`,
  );
}
