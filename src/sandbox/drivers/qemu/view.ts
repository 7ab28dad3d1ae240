import { lstat, mkdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkcellError } from '../../../core/errors.ts';
import type { GuestMount } from '../../../protocol/guest-bootstrap.ts';
import { type Deadline, poll } from '../../../util/deadline.ts';
import type { GuestSpec, MountOptions, VolumeMount } from '../../driver.ts';
import { Child } from './child.ts';
import type { VirtiofsdFlavour } from './host-tools.ts';

/** The one virtiofs share of a guest: its server, and what the guest has to mount from it. */
export interface View {
  readonly socket: string;
  readonly tag: string;
  readonly mounts: readonly GuestMount[];
  readonly daemon: Child;
}

export interface ViewOptions {
  /** The sandbox's private folder. */
  readonly folder: string;
  readonly virtiofsd: { readonly path: string; readonly flavour: VirtiofsdFlavour };
}

const TAG = 'workcell';
/** Top-level folders of the host that make up the image `host`; they are links where /usr is merged. */
const HOST_FOLDERS = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
/** Programs under /usr are reached through links there; it holds no secrets. */
const HOST_EXTRAS = ['etc/alternatives'];

/**
 * Assembles what one guest is to see, and serves it.
 *
 * This is where a read-only mount is made read-only: each part is a bind mount with its own flags in a mount namespace that
 * only the file server lives in, so root in the guest can remount as it likes. Nothing else of the host can be reached
 * through the share, and nothing is left mounted when the server ends.
 */
export async function serveView(spec: GuestSpec, options: ViewOptions, deadline: Deadline): Promise<View> {
  const view = join(options.folder, 'view');
  const socket = join(options.folder, 'fs.sock');
  await mkdir(view);
  const commands = [...(await imageCommands(spec)), ...spec.mounts.flatMap(volumeCommands)];
  const script = [
    'set -eu',
    'mount -t tmpfs -o mode=0755,nodev,nosuid view "$VIEW"',
    'mkdir "$VIEW/root" "$VIEW/mounts"',
    ...commands,
    'mount -o remount,ro "$VIEW"',
    // Debian's virtiofsd keeps a pid file there, which an ordinary user may not write.
    'mount -t tmpfs -o mode=0755 run /run',
    `exec ${serverCommand(options.virtiofsd, socket)}`,
  ].join('\n');
  const daemon = await Child.start(
    [...namespaceCommand(), 'env', `VIEW=${view}`, 'sh', '-c', script],
    join(options.folder, 'virtiofsd.log'),
  );
  try {
    await poll(deadline, async () => {
      if (daemon.gone)
        throw new WorkcellError('sandbox_boot_failed', `virtiofsd ended at once: ${await daemon.tail()}`);
      return (await lstat(socket).catch(() => undefined))?.isSocket() === true ? true : undefined;
    });
  } catch (error) {
    await daemon.kill();
    throw error;
  }
  return { socket, tag: TAG, mounts: spec.mounts.map(guestMount), daemon };
}

/** As an ordinary user, a user namespace gives what mounting and serving foreign owners needs. */
function namespaceCommand(): string[] {
  if (process.getuid?.() === 0) return ['unshare', '--mount'];
  // Becoming root of the namespace makes the kernel forget on whose death we depend, so it is said once more inside.
  return ['unshare', '--user', '--map-root-user', '--map-auto', '--mount', 'setpriv', '--pdeathsig', 'KILL'];
}

/** Shell text; the exported folder is in `$VIEW`. */
function serverCommand({ path, flavour }: ViewOptions['virtiofsd'], socket: string): string {
  const command = `${quote(path)} --socket-path=${quote(socket)}`;
  if (flavour === 'rust') {
    return `${command} --shared-dir="$VIEW" --sandbox=chroot --announce-submounts --modcaps=-mknod:-setfcap --cache=auto`;
  }
  return `${command} -o source="$VIEW" -o sandbox=chroot -o announce_submounts -o modcaps=-mknod:-setfcap -o cache=auto`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

async function imageCommands(spec: GuestSpec): Promise<string[]> {
  if (spec.image.kind === 'directory') return bind(spec.image.path, 'root', READ_ONLY);
  const commands: string[] = [];
  for (const name of HOST_FOLDERS) {
    const stat = await lstat(`/${name}`).catch(() => undefined);
    if (stat?.isSymbolicLink() === true)
      commands.push(`ln -s ${quote(await readlink(`/${name}`))} "$VIEW/root/${name}"`);
    else if (stat?.isDirectory() === true) commands.push(...bind(`/${name}`, `root/${name}`, READ_ONLY));
  }
  for (const path of HOST_EXTRAS) {
    if ((await lstat(`/${path}`).catch(() => undefined))?.isDirectory() === true)
      commands.push(...bind(`/${path}`, `root/${path}`, READ_ONLY));
  }
  return commands;
}

const READ_ONLY: MountOptions = { readonly: true, nodev: true, nosuid: true, noexec: false };

function volumeCommands(mount: VolumeMount, index: number): string[] {
  // Device nodes and set-user-id files of a guest are never honoured on the host's side, whatever was asked for.
  return mount.kind === 'directory'
    ? bind(mount.path, `mounts/${index}`, { ...mount.options, nodev: true, nosuid: true })
    : [];
}

function bind(source: string, target: string, options: MountOptions): string[] {
  const flags = optionNames(options);
  return [
    `mkdir -p "$VIEW/${target}"`,
    `mount --bind ${quote(source)} "$VIEW/${target}"`,
    `mount -o ${['remount', 'bind', ...flags].join(',')} "$VIEW/${target}"`,
  ];
}

function guestMount(mount: VolumeMount, index: number): GuestMount {
  const options = optionNames(mount.options);
  if (mount.kind === 'directory') return { source: String(index), target: mount.target, options };
  return { target: mount.target, options, ...(mount.sizeMib === undefined ? {} : { sizeMib: mount.sizeMib }) };
}

function optionNames(options: MountOptions): ('ro' | 'nodev' | 'nosuid' | 'noexec')[] {
  return [
    ...(options.readonly ? (['ro'] as const) : []),
    ...(options.nodev ? (['nodev'] as const) : []),
    ...(options.nosuid ? (['nosuid'] as const) : []),
    ...(options.noexec ? (['noexec'] as const) : []),
  ];
}
