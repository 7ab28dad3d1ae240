/**
 * A directory that holds no more than a given number of bytes and files, whoever writes to it: an ext4 file system in a
 * sparse file, mounted on a loop device.
 *
 * What it defends: the host's disk. A guest that writes without end gets ENOSPC. What has to hold for the data's sake is
 * that an image is never attached to two loop devices, since two superblocks would destroy it; so all attaching happens
 * under a lock and with `--nooverlap`, which finds a device that another mount namespace still uses. Whoever uses a
 * mount holds an open descriptor in it, so the kernel itself refuses to unmount what is in use, and forgets a holder that
 * was killed.
 */
import { type FileHandle, mkdir, open, realpath, rename, rm, stat, statfs, truncate } from 'node:fs/promises';
import { dirname, sep } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { formatSize } from '../core/units.ts';
import { Deadline } from './deadline.ts';
import { FileLock } from './file-lock.ts';
import { hostCommand } from './host-command.ts';
import { findMount, listLoopDevices, listMounts } from './mount-table.ts';

export interface CapacityLimits {
  /** Size of the whole file system; its own records take some of it: 5 % of 1 GiB, more of less. */
  readonly bytes: number;
  /** Files and folders that fit at least; up to 15 more for each 128 MiB. Default: one for each 16 KiB. */
  readonly inodes?: number | undefined;
}

export interface CapacityUsage {
  readonly usedBytes: number;
  readonly usedInodes: number;
}

export interface CapacityPlace {
  /** The file with the file system. */
  readonly image: string;
  /** Where host code sees what is in it; made when missing. */
  readonly directory: string;
}

/** In less there is no room for a journal beside the files. */
export const MIN_CAPACITY_BYTES = 16 * 1024 ** 2;

/** Those that ext4 keeps for itself. */
const RESERVED_INODES = 10;
/** Of ext4 with blocks of 4,096 bytes and inodes of 256. */
const GROUP_BYTES = 128 * 1024 ** 2;
const INODES_PER_BLOCK = 16;
const LOCK_TIMEOUT_MS = 30_000;
const FORMAT_TIMEOUT_MS = 300_000;
/** What e2fsck ends with when it made a new lost+found, e2fsck(8). */
const CORRECTED = 1;
const MOUNT_OPTIONS = 'nodev,nosuid,discard';
const E2FSPROGS = { package: 'e2fsprogs', timeoutMs: FORMAT_TIMEOUT_MS };
const MOUNT = { package: 'mount' };

/**
 * Makes an image, as a whole or not at all. Throws `unsupported` where it could not be mounted afterwards, and
 * `invalid_argument` for limits that no file system can have.
 */
export async function formatCapacityImage(image: string, { bytes, inodes }: CapacityLimits): Promise<void> {
  assertCanMount();
  if (bytes < MIN_CAPACITY_BYTES) {
    const least = formatSize(MIN_CAPACITY_BYTES);
    throw new WorkcellError(
      'invalid_argument',
      `A capacity of ${formatSize(bytes)} is too small; give at least ${least}`,
    );
  }
  const draft = `${image}.new`;
  try {
    await writeEmpty(draft, bytes);
    const count = inodes === undefined ? [] : ['-N', String(inodesFor(inodes, bytes))];
    const options = ['-q', '-F', '-t', 'ext4', '-b', '4096', '-I', '256', '-m', '0', '-E', 'lazy_journal_init=1'];
    await hostCommand('mke2fs', [...options, ...count, draft], E2FSPROGS);
    await removeLostAndFound(draft);
    await syncFile(draft);
    await rename(draft, image);
  } catch (error) {
    await rm(draft, { force: true });
    if (!isWorkcellError(error) || error.code !== 'storage_failed') throw error;
    const what = `a file system of ${formatSize(bytes)}${inodes === undefined ? '' : ` for ${inodes} files`}`;
    throw new WorkcellError('invalid_argument', `Cannot make ${what}: ${error.message}`, { cause: error });
  }
}

/** An image that is mounted for as long as this is held. */
export class CapacityMount implements AsyncDisposable {
  readonly image: string;
  readonly directory: string;
  #hold: FileHandle;
  #closing: Promise<void> | undefined;

  private constructor(place: CapacityPlace, hold: FileHandle) {
    this.image = place.image;
    this.directory = place.directory;
    this.#hold = hold;
  }

  /** Mounts the image, or takes part in a mount that is there already, also one that a killed process left behind. */
  static async open({ image, directory }: CapacityPlace): Promise<CapacityMount> {
    assertCanMount();
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const place = { image: await realpath(image), directory: await realpath(directory) };
    return await locked(place.image, async () => {
      if (!(await isMounted(place))) await mountImage(place);
      return new CapacityMount(place, await open(place.directory, 'r'));
    });
  }

  async usage(): Promise<CapacityUsage> {
    const { blocks, bfree, bsize, files, ffree } = await statfs(`/proc/self/fd/${this.#hold.fd}`);
    return { usedBytes: (blocks - bfree) * bsize, usedInodes: files - ffree - RESERVED_INODES };
  }

  /**
   * Makes room for more, while it is in use where the kernel allows that. Does nothing when there is as much already.
   * Throws `invalid_state` when guests would have to stop first.
   */
  grow(bytes: number): Promise<void> {
    return locked(this.image, async () => {
      if ((await stat(this.image)).size < bytes) await truncate(this.image, bytes);
      const device = await this.#device();
      await hostCommand('losetup', ['--set-capacity', device], MOUNT);
      try {
        await hostCommand('resize2fs', [device], E2FSPROGS);
      } catch {
        // Growing what is mounted takes CAP_SYS_RESOURCE, which containers often lack.
        await this.#growUnmounted();
      }
    });
  }

  /** Lets go of it, and unmounts it when nobody else holds it. Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= locked(this.image, async () => {
      await this.#hold.close();
      await unmount(this.directory);
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #growUnmounted(): Promise<void> {
    await this.#hold.close();
    try {
      await unmount(this.directory);
      await growDetached(this.image);
    } catch (cause) {
      throw new WorkcellError(
        'invalid_state',
        'This host cannot enlarge what is in use; stop the sandboxes that mount it and try again',
        { cause },
      );
    } finally {
      if (!(await isMounted(this))) await mountImage(this);
      this.#hold = await open(this.directory, 'r');
    }
  }

  async #device(): Promise<string> {
    const mount = await findMount(this.directory);
    if (mount !== undefined) return mount.source;
    throw new WorkcellError('storage_failed', 'The file system of a capacity was unmounted by somebody else');
  }
}

/**
 * Unmounts what killed processes left mounted below `root`, and frees its loop devices. What anybody still uses stays as it
 * is. Gives the directories that were unmounted.
 */
export async function reapCapacityMounts(root: string): Promise<readonly string[]> {
  const base = await realpath(root).catch(() => undefined);
  if (base === undefined || !canMount()) return [];
  const devices = (await listLoopDevices()).filter(({ file }) => file.startsWith(base + sep));
  const names = new Set(devices.map(({ device }) => device));
  const reaped: string[] = [];
  for (const { directory, source } of await listMounts()) {
    if (names.has(source) && directory.startsWith(base + sep) && (await unmount(directory))) reaped.push(directory);
  }
  // One that is still mounted somewhere is freed by the kernel with its last mount.
  for (const device of await devicesOf((file) => file.startsWith(base + sep))) await detach(device);
  return reaped;
}

function canMount(): boolean {
  return process.geteuid?.() === 0;
}

function assertCanMount(): void {
  if (canMount()) return;
  throw new WorkcellError(
    'unsupported',
    'A capacity needs a file system of its own, which an ordinary user cannot mount: run the server as root, or leave the capacity out',
  );
}

/** mke2fs rounds to what fills the blocks of each group, also down; this rounds up. */
function inodesFor(wanted: number, bytes: number): number {
  const groups = Math.ceil(bytes / GROUP_BYTES);
  const each = Math.ceil((wanted + RESERVED_INODES) / groups);
  return groups * Math.ceil(each / INODES_PER_BLOCK) * INODES_PER_BLOCK;
}

async function writeEmpty(path: string, bytes: number): Promise<void> {
  await using file = await open(path, 'w', 0o600);
  await file.truncate(bytes);
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
  await using folder = await open(dirname(path), 'r');
  await folder.sync();
}

/** It is for what a check of the file system finds; a directory that is to hold a customer's files has no place for it. */
async function removeLostAndFound(deviceOrFile: string): Promise<void> {
  await hostCommand('debugfs', ['-w', '-R', 'rmdir lost+found', deviceOrFile], E2FSPROGS);
}

async function locked<T>(image: string, work: () => Promise<T>): Promise<T> {
  using deadline = new Deadline('Waiting for a file system to be mounted', LOCK_TIMEOUT_MS);
  await using _lock = await FileLock.wait({ path: `${image}.lock`, what: 'A file system' }, deadline);
  return await work();
}

/** Throws `invalid_state` when something else is mounted there. */
async function isMounted({ image, directory }: CapacityPlace): Promise<boolean> {
  const mount = await findMount(directory);
  if (mount === undefined) return false;
  if ((await devicesOf((file) => file === image)).includes(mount.source)) return true;
  throw new WorkcellError('invalid_state', 'Something else is mounted where a file system with a capacity belongs');
}

async function mountImage({ image, directory }: CapacityPlace): Promise<void> {
  // The kernel may free a device that the last guest lets go of between the two steps.
  for (let attempt = 1; ; attempt++) {
    const device = await attach(image);
    try {
      await hostCommand('mount', ['-t', 'ext4', '-o', MOUNT_OPTIONS, device, directory], MOUNT);
      return;
    } catch (error) {
      if (attempt === 3) throw error;
    } finally {
      // From here on the kernel frees it with its last mount, or at once when there is none.
      await detach(device);
    }
  }
}

async function growDetached(image: string): Promise<void> {
  const device = await attach(image);
  try {
    // Both open the device for themselves alone, and so fail while it is mounted in any namespace.
    await hostCommand('e2fsck', ['-f', '-p', device], { ...E2FSPROGS, accept: [CORRECTED] });
    await hostCommand('resize2fs', [device], E2FSPROGS);
    await removeLostAndFound(device);
  } finally {
    await detach(device);
  }
}

/** A loop device with the image: the one that it has, or a new one. */
function attach(image: string): Promise<string> {
  return hostCommand('losetup', ['--find', '--show', '--nooverlap', image], MOUNT);
}

async function detach(device: string): Promise<void> {
  await hostCommand('losetup', ['--detach', device], MOUNT).catch(() => {});
}

async function devicesOf(matches: (file: string) => boolean): Promise<readonly string[]> {
  return (await listLoopDevices()).filter(({ file }) => matches(file)).map(({ device }) => device);
}

/** False when it is in use, in which case it stays. */
async function unmount(directory: string): Promise<boolean> {
  try {
    await hostCommand('umount', [directory], MOUNT);
    return true;
  } catch (error) {
    if ((await findMount(directory)) === undefined) return true;
    if (isWorkcellError(error) && error.code === 'storage_failed') return false;
    throw error;
  }
}
