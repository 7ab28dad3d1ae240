import { posix } from 'node:path';
import { WorkcellError } from '../../../core/errors.ts';
import { RUNTIME_DIRECTORY } from '../../../protocol/guest-bootstrap.ts';
import type { GuestSpec, VolumeMount } from '../../driver.ts';
import type { Layer } from './image-layout.ts';
import type { KernelFile } from './kernel-files.ts';

export interface BubblewrapInputs {
  readonly spec: GuestSpec;
  readonly layers: readonly Layer[];
  /** Folder of the guest runtime. */
  readonly runtime: string;
  readonly kernelFiles: readonly KernelFile[];
  /** As `GuestCgroup.memoryEvents`. */
  readonly memoryEvents?: string | undefined;
}

const MIB = 1024 * 1024;
/** As a kernel of its own would have it: half of the memory for each file system that lies in memory. */
const SCRATCH_SHARE = 0.5;
/** Where a guest may write for as long as it lives, with the mode of each. */
const SCRATCH = { '/tmp': '1777', '/run': '0755', '/root': '0700', '/dev/shm': '1777', '/workspace': '0755' } as const;
/** Where nothing can be mounted: what holds the guest in lies there. */
const RESERVED = ['/proc', '/sys', '/dev', RUNTIME_DIRECTORY];
const RESERVED_EXCEPT = [`${RUNTIME_DIRECTORY}/skills`, '/dev/shm'];
/** Where it would be in a guest with a kernel of its own. */
const MEMORY_EVENTS = '/sys/fs/cgroup/memory.events';
const ETC = ['passwd', 'group', 'hosts'];

/** The guest's file systems that lie in memory, by their place. */
export function memoryFileSystems({ mounts }: Pick<GuestSpec, 'mounts'>): readonly string[] {
  return [
    '/',
    ...Object.keys(SCRATCH).filter((target) => !mounts.some((mount) => mount.target === target)),
    ...mounts.flatMap((mount) => (mount.kind === 'tmpfs' ? [mount.target] : [])),
  ];
}

/** Throws `unsupported` for what bubblewrap cannot enforce. */
export function refuseUnenforceable({ image, mounts, user, survives }: GuestSpec): void {
  if (image.kind !== 'host' && image.kind !== 'directory')
    throw unsupported(`an image of the kind "${image.kind}"`, 'use "host" or a directory');
  if (survives === true) throw unsupported('a guest that outlives the server', 'leave "survives" out');
  if (user !== undefined && !/^(root|0)(:(root|0))?$/.test(user))
    throw unsupported(`the user "${user}"`, 'its guests have one user, root; leave "user" out');
  mounts.forEach((mount, index) => {
    refuseMount(mount, mounts.slice(0, index));
  });
}

function refuseMount({ target, options }: VolumeMount, earlier: readonly VolumeMount[]): void {
  const place = `the mount at "${target}"`;
  if (!posix.isAbsolute(target) || target === '/' || posix.normalize(target) !== target)
    throw unsupported(place, 'name an absolute path without "." and ".." and a slash at its end');
  if (options.noexec) throw unsupported(`"noexec" for ${place}`, 'leave it out, or use a driver with virtual machines');
  const isReserved = RESERVED.some((each) => isWithin(target, each)) && !RESERVED_EXCEPT.includes(target);
  if (isReserved) throw unsupported(place, "choose a place outside of the guest's own folders");
  // What lies deeper is reached over folders that a guest of the same customer may turn into links while this one starts.
  const around = earlier.findLast((mount) => mount.kind === 'directory' && isWithin(target, mount.target));
  if (around !== undefined && target !== around.target && posix.dirname(target) !== around.target)
    throw unsupported(place, `mount it right below "${around.target}" or outside of it`);
}

/** Arguments for bubblewrap up to the command, in the order in which it carries them out. */
export function bubblewrapArguments(inputs: BubblewrapInputs): readonly string[] {
  const { spec, layers, runtime, kernelFiles, memoryEvents } = inputs;
  const { hostname, mounts, memoryMib } = spec;
  const size = String(Math.floor(memoryMib * MIB * SCRATCH_SHARE));
  const has = (target: string) => mounts.some((mount) => mount.target === target);
  return [
    ...['--unshare-user', '--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    ...['--uid', '0', '--gid', '0', '--cap-drop', 'ALL', '--hostname', hostname],
    ...['--die-with-parent', '--new-session', '--clearenv', '--chdir', '/'],
    // The guest's own root: it may add to it, as in any other guest, within a size.
    ...['--perms', '0755', '--size', size, '--tmpfs', '/'],
    ...layers.flatMap(layerArguments),
    ...(layers.some(({ target }) => isWithin(target, '/etc') && target !== '/etc/alternatives')
      ? []
      : ETC.flatMap((name) => ['--ro-bind', `${runtime}/etc/${name}`, `/etc/${name}`])),
    ...['--ro-bind', runtime, RUNTIME_DIRECTORY],
    ...['--proc', '/proc', ...kernelFiles.flatMap(kernelFileArguments)],
    ...(memoryEvents === undefined ? [] : ['--ro-bind', memoryEvents, MEMORY_EVENTS]),
    ...['--dev', '/dev'],
    ...Object.entries(SCRATCH).flatMap(([target, mode]) =>
      has(target) ? [] : ['--perms', mode, '--size', size, '--tmpfs', target],
    ),
    ...mounts.flatMap((mount) => mountArguments(mount, size)),
    ...['--remount-ro', '/dev'],
  ];
}

function layerArguments(layer: Layer): string[] {
  return layer.kind === 'link' ? ['--symlink', layer.to, layer.target] : ['--ro-bind', layer.source, layer.target];
}

function kernelFileArguments({ name, hidden }: KernelFile): string[] {
  return ['--ro-bind', hidden ? '/dev/null' : `/proc/${name}`, `/proc/${name}`];
}

/** Bubblewrap itself adds nodev and nosuid to each. */
function mountArguments(mount: VolumeMount, defaultSize: string): string[] {
  const { target } = mount;
  const { readonly } = mount.options;
  if (mount.kind === 'directory') return [readonly ? '--ro-bind' : '--bind', mount.path, target];
  const size = mount.sizeMib === undefined ? defaultSize : String(mount.sizeMib * MIB);
  return ['--size', size, '--tmpfs', target, ...(readonly ? ['--remount-ro', target] : [])];
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function unsupported(what: string, instead: string): WorkcellError {
  return new WorkcellError('unsupported', `The driver "bubblewrap" cannot provide ${what}: ${instead}`);
}
