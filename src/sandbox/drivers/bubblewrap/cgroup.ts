import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { errnoOf } from '../../../util/errno.ts';
import { isRunning, ownId } from '../../../util/process-id.ts';

export interface GuestLimits {
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Threads count too, as the kernel counts. */
  readonly processes: number;
  /** Of each process; no control group bounds them. */
  readonly descriptors: number;
}

/** What a control group of this host can bound. */
export type Controller = (typeof CONTROLLERS)[number];

const CONTROLLERS = ['memory', 'pids', 'cpu'] as const;
const PREFIX = 'workcell-';
const CPU_PERIOD_US = 100_000;
const REMOVE_ATTEMPTS = 100;

interface Setting {
  readonly file: string;
  readonly value: string | number;
  /** Whether a kernel may lack it: without swap accounting there is nothing to set. */
  readonly optional?: true;
}

/** Where groups can be made, and for which controllers; several places only under version 1. */
interface Hierarchy {
  readonly parent: string;
  readonly version: 1 | 2;
  readonly controllers: readonly Controller[];
}

interface Group {
  readonly folder: string;
  readonly version: 1 | 2;
  readonly controllers: readonly Controller[];
}

/** The controllers that a guest's group would get here. */
export async function usableControllers(): Promise<readonly Controller[]> {
  await using group = await GuestCgroup.create(`probe-${process.pid}`, {
    cpus: 1,
    memoryBytes: 2 ** 30,
    processes: 1000,
    descriptors: 1000,
  });
  return [...group.controllers];
}

/**
 * The control group of one guest: a folder in a tree that this process may write to, one for each controller under version 1.
 *
 * It bounds what its controllers bound. What they do not is left to the caller.
 */
export class GuestCgroup implements AsyncDisposable {
  readonly controllers: ReadonlySet<Controller>;
  /** A process that writes `0` to each of them is in the group. */
  readonly joinFiles: readonly string[];
  /** A file whose line `oom_kill N` counts the processes that the kernel has killed for want of memory. */
  readonly memoryEvents: string | undefined;
  readonly #folders: readonly string[];

  private constructor(groups: readonly Group[]) {
    this.#folders = groups.map(({ folder }) => folder);
    this.controllers = new Set(groups.flatMap(({ controllers }) => controllers));
    const memory = groups.find(({ controllers }) => controllers.includes('memory'));
    this.memoryEvents = memory && join(memory.folder, memory.version === 2 ? 'memory.events' : 'memory.oom_control');
    this.joinFiles = this.#folders.map((folder) => join(folder, 'cgroup.procs'));
  }

  /** `id` must be new. A host without control groups gives a group without controllers. */
  static async create(id: string, limits: GuestLimits): Promise<GuestCgroup> {
    const owner = await ownId();
    const name = `${PREFIX}${owner.pid}.${owner.startTicks}.${id}`;
    const groups: Group[] = [];
    for (const hierarchy of await findHierarchies()) {
      const folder = join(hierarchy.parent, name);
      const controllers = await makeGroup(folder, hierarchy, limits);
      if (controllers.length > 0) groups.push({ folder, version: hierarchy.version, controllers });
    }
    return new GuestCgroup(groups);
  }

  /** All of its processes must be gone; the kernel notices a moment later. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const folder of this.#folders) await removeGroup(folder);
  }
}

/** Removes the groups that earlier processes left when they were killed. */
export async function sweepCgroups(): Promise<void> {
  for (const { parent } of await findHierarchies()) {
    for (const name of await readdir(parent).catch(() => [])) {
      const [, pid = '', startTicks = ''] = /^workcell-(\d+)\.(\d+)\./.exec(name) ?? [];
      if (pid !== '' && !(await isRunning({ pid: Number(pid), startTicks }))) await removeGroup(join(parent, name), 1);
    }
  }
}

/** The controllers that hold in the new group; without any, there is no group. */
async function makeGroup(folder: string, hierarchy: Hierarchy, limits: GuestLimits): Promise<readonly Controller[]> {
  try {
    await mkdir(folder);
    for (const controller of hierarchy.controllers) {
      for (const { file, value, optional } of settings(hierarchy.version, controller, limits)) {
        await writeFile(join(folder, file), String(value)).catch((error: unknown) => {
          if (optional !== true || errnoOf(error) !== 'EACCES') throw error;
        });
      }
    }
    return hierarchy.controllers;
  } catch {
    await removeGroup(folder, 1);
    return [];
  }
}

function settings(version: 1 | 2, controller: Controller, limits: GuestLimits): readonly Setting[] {
  const quota = Math.round(limits.cpus * CPU_PERIOD_US);
  switch (controller) {
    case 'pids':
      return [{ file: 'pids.max', value: limits.processes }];
    case 'cpu':
      if (version === 2) return [{ file: 'cpu.max', value: `${quota} ${CPU_PERIOD_US}` }];
      return [
        { file: 'cpu.cfs_period_us', value: CPU_PERIOD_US },
        { file: 'cpu.cfs_quota_us', value: quota },
      ];
    case 'memory':
      if (version === 2)
        return [
          { file: 'memory.max', value: limits.memoryBytes },
          { file: 'memory.swap.max', value: 0, optional: true },
        ];
      return [
        { file: 'memory.limit_in_bytes', value: limits.memoryBytes },
        { file: 'memory.memsw.limit_in_bytes', value: limits.memoryBytes, optional: true },
      ];
    default:
      return controller satisfies never;
  }
}

async function findHierarchies(): Promise<readonly Hierarchy[]> {
  const mounts = parseMounts(await readFile('/proc/self/mountinfo', 'utf8'));
  const own = parseOwnGroups(await readFile('/proc/self/cgroup', 'utf8'));
  const hierarchies: Hierarchy[] = [];
  for (const mount of mounts) {
    if (mount.type === 'cgroup2') hierarchies.push(...(await unified(mount, own.get('') ?? '/')));
    const controllers = CONTROLLERS.filter(
      (controller) => mount.type === 'cgroup' && mount.options.includes(controller),
    );
    const path = own.get(controllers[0] ?? 'none');
    if (path !== undefined) hierarchies.push({ parent: below(mount, path), version: 1, controllers });
  }
  return hierarchies;
}

/**
 * Beside our own group: version 2 gives controllers only to groups whose parent holds no processes, and ours has one. That
 * is also where a delegated tree (systemd's `Delegate=`) may be written to.
 */
async function unified(mount: Mount, own: string): Promise<Hierarchy[]> {
  const parent = below(mount, own === '/' ? own : dirname(own));
  const enabled = (await readFile(join(parent, 'cgroup.subtree_control'), 'utf8').catch(() => '')).trim().split(' ');
  const controllers = CONTROLLERS.filter((controller) => enabled.includes(controller));
  return controllers.length === 0 ? [] : [{ parent, version: 2, controllers }];
}

interface Mount {
  readonly root: string;
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** Lines of `/proc/self/mountinfo` (proc(5)): the fields before ` - ` vary in number, those after do not. */
function parseMounts(text: string): readonly Mount[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [, , , root = '', point = ''] = before.split(' ');
      const [type = '', , options = ''] = after.split(' ');
      return { root, point, type, options: options.split(',') };
    });
}

/** Controller -> path of our group; version 2 has the empty name (cgroups(7)). */
function parseOwnGroups(text: string): ReadonlyMap<string, string> {
  const groups = new Map<string, string>();
  for (const line of text.trim().split('\n')) {
    const [, names = '', ...path] = line.split(':');
    for (const name of names.split(',')) groups.set(name, path.join(':'));
  }
  return groups;
}

function below({ root, point }: Mount, path: string): string {
  return join(point, relative(root, path));
}

async function removeGroup(folder: string, attempts: number = REMOVE_ATTEMPTS): Promise<void> {
  if (!basename(folder).startsWith(PREFIX)) return;
  for (let attempt = 1; attempt <= attempts; attempt++) {
    try {
      return await rmdir(folder);
    } catch (error) {
      if (errnoOf(error) !== 'EBUSY') return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
