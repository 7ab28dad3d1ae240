import { execFile } from 'node:child_process';
import { lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WorkcellError } from '../../../core/errors.ts';
import type { GuestMount } from '../../../protocol/guest-bootstrap.ts';
import { Child, DIES_WITH_US } from '../../../util/child.ts';
import { type Deadline, poll } from '../../../util/deadline.ts';
import type { ImageSpec, MountOptions, VolumeMount } from '../../driver.ts';
import { hostImage } from '../../driver-kit/host-image.ts';
import { hostSide, optionNames, quote, READ_ONLY } from '../../driver-kit/mount-options.ts';
import type { VirtiofsdFlavour } from './host-tools.ts';

export interface ViewOptions {
  /** The sandbox's private folder. */
  readonly folder: string;
  readonly virtiofsd: { readonly path: string; readonly flavour: VirtiofsdFlavour };
  /** True: it is there for a guest that survives this process. */
  readonly survives: boolean;
}

export const MAX_VOLUMES = 64;
export const VIEW_TAG = 'workcell';
const MOUNT_TIMEOUT_MS = 10_000;
/** Name of the file system that hides /run from an ordinary user's file server. */
const COVER = 'workcell-run';

const run = promisify(execFile);

/**
 * What one guest is to see, and the virtiofs server that shows it: the image at first, a customer's volumes when the guest
 * is claimed.
 *
 * This is where a read-only mount is made read-only: each part is a bind mount with its own flags in a mount namespace that
 * only the file server lives in, so root in the guest can remount as it likes. Nothing else of the host can be reached
 * through the share, and nothing is left mounted when the server ends.
 */
export class View {
  readonly socket: string;
  readonly daemon: Child;
  readonly #path: string;

  private constructor(path: string, socket: string, daemon: Child) {
    this.#path = path;
    this.socket = socket;
    this.daemon = daemon;
  }

  /** Serves the image alone. The folders for volumes are there and empty. */
  static async serve(image: ImageSpec, options: ViewOptions, deadline: Deadline): Promise<View> {
    const path = join(options.folder, 'view');
    const socket = join(options.folder, 'fs.sock');
    await mkdir(path);
    const script = [
      'set -eu',
      'mount -t tmpfs -o mode=0755,nodev,nosuid view "$VIEW"',
      `mkdir "$VIEW/root" "$VIEW/mounts" ${volumes().join(' ')}`,
      ...(await imageCommands(image)),
      'mount -o remount,ro "$VIEW"',
      // Debian's virtiofsd keeps a pid file there, which an ordinary user may not write.
      `[ -w /run ] || mount -t tmpfs -o mode=0755 ${COVER} /run`,
      // Only the server itself may outlive us; what sets it up dies with us.
      `exec ${options.survives ? 'setpriv --pdeathsig clear ' : ''}${serverCommand(options.virtiofsd, socket)}`,
    ].join('\n');
    const daemon = await Child.start([...namespaceCommand(), 'env', `VIEW=${path}`, 'sh', '-c', script], {
      log: join(options.folder, 'virtiofsd.log'),
      survives: options.survives,
    });
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
    return new View(path, socket, daemon);
  }

  /**
   * Puts volumes into the view, each with its own flags. The guest must not have looked at the folders yet, and may only be
   * told of them when this is done.
   */
  async attach(mounts: readonly VolumeMount[], deadline: Deadline): Promise<readonly GuestMount[]> {
    refuseMounts(mounts);
    const commands = mounts.flatMap(volumeCommands);
    if (commands.length > 0) await this.#enter(commands, deadline);
    return mounts.map(guestMount);
  }

  async #enter(commands: readonly string[], deadline: Deadline): Promise<void> {
    const enter = process.getuid?.() === 0 ? ['--mount'] : ['--user', '--preserve-credentials', '--mount'];
    // What covers /run there was for the start of the server; a volume may lie below.
    const uncover = `! grep -q '^${COVER} /run ' /proc/mounts || umount -l /run`;
    const script = ['set -eu', uncover, ...commands].join('\n');
    try {
      await run(
        'nsenter',
        [...enter, '--target', String(this.daemon.pid), 'env', `VIEW=${this.#path}`, 'sh', '-c', script],
        {
          // Not cut short by the caller: what is left running would outlive the boot that it belongs to.
          timeout: MOUNT_TIMEOUT_MS,
          killSignal: 'SIGKILL',
        },
      );
    } catch (cause) {
      deadline.check();
      const said = String((cause as { stderr?: unknown }).stderr ?? '').trim();
      throw new WorkcellError('sandbox_boot_failed', `A volume of the sandbox cannot be mounted: ${said}`, { cause });
    }
  }
}

function volumes(): string[] {
  return Array.from({ length: MAX_VOLUMES }, (_, index) => `"$VIEW/mounts/${index}"`);
}

function refuseMounts(mounts: readonly VolumeMount[]): void {
  if (mounts.length > MAX_VOLUMES) {
    const message = `A sandbox has ${mounts.length} mounts, over the limit of ${MAX_VOLUMES}; mount a common parent folder`;
    throw new WorkcellError('unsupported', message);
  }
  const bounded = mounts.some((mount) => mount.kind === 'directory' && mount.capacityImage !== undefined);
  if (bounded && process.getuid?.() !== 0) {
    const message = 'A volume with a capacity needs a loop device, which only root may set up; run the server as root';
    throw new WorkcellError('unsupported', message);
  }
}

/** As an ordinary user, a user namespace gives what mounting and serving foreign owners needs. */
function namespaceCommand(): [string, ...string[]] {
  // As a slave it sees what is mounted on the host later, such as a volume, and gives nothing back.
  const unshare = ['unshare', '--mount', '--propagation', 'slave'] as const;
  if (process.getuid?.() === 0) return [...DIES_WITH_US, ...unshare];
  // Becoming root of the namespace makes the kernel forget on whose death we depend, so it is said inside.
  return [...unshare, '--user', '--map-root-user', '--map-auto', ...DIES_WITH_US];
}

/** Shell text; the exported folder is in `$VIEW`. */
function serverCommand({ path, flavour }: ViewOptions['virtiofsd'], socket: string): string {
  const command = `${quote(path)} --socket-path=${quote(socket)}`;
  if (flavour === 'rust') {
    return `${command} --shared-dir="$VIEW" --sandbox=chroot --announce-submounts --modcaps=-mknod:-setfcap --cache=auto`;
  }
  return `${command} -o source="$VIEW" -o sandbox=chroot -o announce_submounts -o modcaps=-mknod:-setfcap -o cache=auto`;
}

async function imageCommands(image: ImageSpec): Promise<string[]> {
  if (image.kind === 'directory') return bind(image.path, 'root', READ_ONLY);
  if (image.kind !== 'host') {
    throw new WorkcellError('unsupported', `The driver "qemu" boots no image of kind "${image.kind}"`);
  }
  return (await hostImage()).flatMap(({ path, link }) =>
    link === undefined ? bind(path, `root${path}`, READ_ONLY) : [`ln -s ${quote(link)} "$VIEW/root${path}"`],
  );
}

function volumeCommands(mount: VolumeMount, index: number): string[] {
  if (mount.kind !== 'directory') return [];
  const options = hostSide(mount.options);
  if (mount.capacityImage === undefined) return bind(mount.path, `mounts/${index}`, options);
  // The loop device that the host uses for this image already is used again, so that both see one file system; it is
  // writable there, so read-only is only said of this mount.
  const target = `"$VIEW/mounts/${index}"`;
  return [
    `mount -t ext4 -o loop,nodev,nosuid ${quote(mount.capacityImage)} ${target}`,
    `mount -o ${['remount', 'bind', ...optionNames(options)].join(',')} ${target}`,
  ];
}

/** The folder is made where it can be; those for volumes are there. */
function bind(source: string, target: string, options: MountOptions): string[] {
  return [
    `mkdir -p "$VIEW/${target}"`,
    `mount --bind -o ${optionNames(options).join(',')} ${quote(source)} "$VIEW/${target}"`,
  ];
}

function guestMount(mount: VolumeMount, index: number): GuestMount {
  const options = optionNames(mount.options);
  if (mount.kind === 'directory') return { source: String(index), target: mount.target, options };
  return { target: mount.target, options, ...(mount.sizeMib === undefined ? {} : { sizeMib: mount.sizeMib }) };
}
