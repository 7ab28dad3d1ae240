import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { toWorkcellError, WorkcellError } from '../../../core/errors.ts';
import type { BootKind } from '../../../core/execution.ts';
import type { GuestMount } from '../../../protocol/guest-bootstrap.ts';
import { Child, tailOf } from '../../../util/child.ts';
import { Cleanup } from '../../../util/cleanup.ts';
import { Deadline } from '../../../util/deadline.ts';
import type { GuestSpec, ImageSpec, VolumeMount } from '../../driver.ts';
import { awaitWaiting, claim, prime } from './agent-link.ts';
import type { GuestAssets } from './assets.ts';
import { QemuGuest } from './guest.ts';
import type { GuestData } from './guest-file.ts';
import { agentSocket, machineCommand, memoryFile, plugCommands, qmpSocket, SILENCE } from './machine.ts';
import type { QemuHost } from './probe.ts';
import { Qmp } from './qmp.ts';
import { makeGuestFolder } from './run-directory.ts';
import { copyMemory, restoreState, type Template } from './template.ts';
import { connectUnix } from './unix-socket.ts';
import { VIEW_TAG, View } from './view.ts';

/** What is known of a guest before it is known whose it will be. */
export interface GuestPlan {
  readonly host: QemuHost;
  readonly assets: GuestAssets;
  readonly runDirectory: string;
  /** Absent: it is booted from scratch. */
  readonly template?: Template;
  readonly image: ImageSpec;
  readonly cpus: number;
  readonly memoryMib: number;
  /** True: it may be claimed as a guest that survives this process. */
  readonly survives: boolean;
  /** True for a guest that waits: it has the time to do once what a customer will do. */
  readonly rehearse: boolean;
  /** The volumes of the customer, when it is known already; they are mounted while the machine starts. */
  readonly mounts?: readonly VolumeMount[];
}

interface Parts {
  readonly plan: GuestPlan;
  readonly folder: string;
  readonly view: View;
  readonly machine: Child;
  readonly agent: Socket;
  readonly mounts: Promise<readonly GuestMount[]> | undefined;
}

export interface ClaimOrigin {
  readonly boot: BootKind;
  readonly poolBypass?: string;
  /** Of threads in the guest, and of open files of each process. */
  readonly limits: { readonly processes: number; readonly descriptors: number };
}

/** A guest that runs, and that is nobody's: it sees the image, and no folder of any customer. */
export class PrimedGuest {
  /** Resolves when its processes are gone, or when it has become a customer's. */
  readonly ended: Promise<void>;
  readonly #parts: Parts;
  readonly #claimed = Promise.withResolvers<void>();
  #gone = false;
  #diedBeforeClaim = false;

  private constructor(parts: Parts) {
    this.#parts = parts;
    const died = Promise.race([parts.machine.exited, parts.view.daemon.exited]).then(() => {
      this.#gone = true;
    });
    this.ended = Promise.race([died, this.#claimed.promise]);
  }

  /** Starts one. Nothing of it is left when that fails. */
  static async start(plan: GuestPlan, deadline: Deadline): Promise<PrimedGuest> {
    const folder = await makeGuestFolder(plan.runDirectory);
    const undo = new Cleanup();
    undo.add(() => rm(folder, { recursive: true, force: true }));
    try {
      using attempt = new Start(plan, folder, undo, deadline);
      return new PrimedGuest(await attempt.run());
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

  get gone(): boolean {
    return this.#gone;
  }

  /** Whether a claim has failed because there was no guest any more. */
  get diedBeforeClaim(): boolean {
    return this.#diedBeforeClaim;
  }

  /** Makes it the guest of this specification, once and for ever. Nothing of it is left when that fails. */
  async claim(spec: GuestSpec, from: ClaimOrigin, deadline: Deadline): Promise<QemuGuest> {
    const { folder, view, machine, agent } = this.#parts;
    try {
      const mounts = await (this.#parts.mounts ?? view.attach(spec.mounts, deadline));
      const { hostname, env, workdir, user, rlimits } = spec;
      const network = spec.network !== undefined;
      const record = spec.survives === true ? await this.#record(from.boot, network) : undefined;
      const optional = { ...(user === undefined ? {} : { user }), ...(rlimits === undefined ? {} : { rlimits }) };
      await claim(agent, { hostname, env, workdir, mounts, egress: network, ...from.limits, ...optional }, deadline);
      const parts = { boot: from.boot, machine, fileServer: view.daemon, agent, folder, network, kept: false };
      return new QemuGuest({ ...parts, ...(record === undefined ? {} : { record }) }, from.poolBypass);
    } catch (error) {
      this.#diedBeforeClaim = this.#gone || agent.destroyed;
      await this.discard();
      deadline.check();
      throw toWorkcellError(error, 'sandbox_boot_failed');
    } finally {
      this.#claimed.resolve();
    }
  }

  /** Ends it; nothing of it is left. */
  async discard(): Promise<void> {
    const { machine, view, agent, folder } = this.#parts;
    agent.destroy();
    await Promise.all([machine.kill(), view.daemon.kill()]);
    await rm(folder, { recursive: true, force: true });
  }

  async #record(boot: BootKind, network: boolean): Promise<{ driver: string; data: GuestData }> {
    const { folder, machine, view } = this.#parts;
    const [machineId, fileServerId] = await Promise.all([machine.identify(), view.daemon.identify()]);
    if (machineId === undefined || fileServerId === undefined) {
      throw new WorkcellError('sandbox_boot_failed', 'The virtual machine ended while it was starting');
    }
    return { driver: 'qemu', data: { folder, boot, network, machine: machineId, fileServer: fileServerId } };
  }
}

/** One start; what it has acquired is in `undo` until the guest owns it. */
class Start implements Disposable {
  readonly #plan: GuestPlan;
  readonly #folder: string;
  readonly #undo: Cleanup;
  readonly #died = new AbortController();
  readonly #deadline: Deadline;

  constructor(plan: GuestPlan, folder: string, undo: Cleanup, deadline: Deadline) {
    this.#plan = plan;
    this.#folder = folder;
    this.#undo = undo;
    // Waiting for a machine that is gone would only end with the time.
    const signal = AbortSignal.any([deadline.signal, this.#died.signal]);
    this.#deadline = new Deadline('Starting a virtual machine', deadline.remainingMs, { signal });
  }

  async run(): Promise<Parts> {
    const plan = this.#plan;
    const folder = this.#folder;
    const { template, rehearse } = plan;
    const viewing = this.#serveView();
    // A restored machine gets its share when it is there, and starts meanwhile.
    const starting =
      template === undefined ? viewing.then((view) => this.#startMachine(view)) : this.#startCopy(template);
    const [view, machine] = await settled(viewing, starting);
    const mounts = plan.mounts === undefined ? undefined : view.attach(plan.mounts, this.#deadline);
    // Whoever claims the guest sees the failure.
    const mounted = mounts?.then(
      () => {},
      () => {},
    );
    this.#undo.add(() => mounted);
    const [qmp, agent] = await Promise.all([
      Qmp.connect(qmpSocket(folder), this.#deadline),
      connectUnix(agentSocket(folder), this.#deadline),
    ]);
    this.#undo.add(() => void agent.destroy());
    if (template === undefined) await awaitWaiting(agent, this.#deadline);
    else await this.#resume(template, view, qmp);
    await qmp.execute(...SILENCE, this.#deadline);
    // Nothing is asked of the machine after this; a control socket that nobody finds is one door less.
    qmp.close();
    await rm(qmpSocket(folder));
    await prime(agent, { tag: VIEW_TAG, rehearse }, this.#deadline);
    await mounts;
    return { plan, folder, view, machine, agent, mounts };
  }

  [Symbol.dispose](): void {
    this.#deadline[Symbol.dispose]();
  }

  async #serveView(): Promise<View> {
    const { image, host, survives } = this.#plan;
    const options = { folder: this.#folder, virtiofsd: host.virtiofsd, survives };
    const view = await View.serve(image, options, this.#deadline);
    this.#undo.add(() => view.daemon.kill());
    return view;
  }

  async #startCopy(template: Template): Promise<Child> {
    await copyMemory(template, memoryFile(this.#folder), this.#deadline);
    return this.#startMachine(undefined);
  }

  async #startMachine(view: View | undefined): Promise<Child> {
    const { host, assets, cpus, memoryMib, template, survives } = this.#plan;
    const share = view === undefined ? {} : { share: { socket: view.socket, tag: VIEW_TAG } };
    const incoming = template !== undefined;
    const command = machineCommand({ ...host, assets, cpus, memoryMib, folder: this.#folder, ...share, incoming });
    const machine = await Child.start(command, { log: join(this.#folder, 'qemu.log'), survives });
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
    for (const [command, args] of plugCommands({ socket: view.socket, tag: VIEW_TAG })) {
      await qmp.execute(command, args, this.#deadline);
    }
    await qmp.execute('cont', {}, this.#deadline);
  }
}

/** Both or neither: the second failure is not left without somebody who sees it. */
async function settled<First, Second>(first: Promise<First>, second: Promise<Second>): Promise<[First, Second]> {
  const [one, two] = await Promise.allSettled([first, second]);
  if (one.status === 'rejected') throw one.reason;
  if (two.status === 'rejected') throw two.reason;
  return [one.value, two.value];
}
