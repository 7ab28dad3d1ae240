import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, readdir, readFile, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  CapacityMount,
  formatCapacityImage,
  MIN_CAPACITY_BYTES,
  reapCapacityMounts,
} from '../../../src/util/capacity-image.ts';
import { findMount, listLoopDevices, parseMountInfo } from '../../../src/util/mount-table.ts';
import { temporaryFolder } from './temporary-folder.ts';

const HOLDER = fileURLToPath(new URL('../../support/mount-holder.ts', import.meta.url));
const MIB = 1024 ** 2;
const isRoot = process.geteuid?.() === 0;

interface Place {
  readonly root: string;
  readonly image: string;
  readonly directory: string;
}

async function freshImage(bytes: number, inodes?: number): Promise<Place> {
  const root = await temporaryFolder();
  // Runs before the folder goes away, also when the test fails.
  onTestFinished(async () => void (await reapCapacityMounts(root)));
  const place = { root, image: join(root, 'data.ext4'), directory: join(root, 'data') };
  await formatCapacityImage(place.image, { bytes, inodes });
  return place;
}

async function openMount(place: Place): Promise<CapacityMount> {
  const mount = await CapacityMount.open(place);
  onTestFinished(() => mount.close());
  return mount;
}

const devicesOf = async (image: string) => (await listLoopDevices()).filter(({ file }) => file === image);
const isMounted = async ({ directory }: Place) => (await findMount(directory)) !== undefined;
const failure = (code: string) => ({ code });

async function hold({ image, directory }: Place): Promise<ChildProcess> {
  const holder = spawn(process.execPath, [HOLDER, image, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void holder.kill('SIGKILL'));
  await once(holder.stdout ?? holder, 'data');
  return holder;
}

async function kill(holder: ChildProcess): Promise<void> {
  const ended = once(holder, 'exit');
  holder.kill('SIGKILL');
  await ended;
}

describe.skipIf(!isRoot)('a directory with a capacity (only root can mount one)', () => {
  test('takes as many bytes as it has, and refuses one block more', async () => {
    const place = await freshImage(64 * MIB);
    await openMount(place);
    const { bavail, bsize } = await statfs(place.directory);
    expect(bavail * bsize).toBeGreaterThan(0.8 * 64 * MIB);
    expect(bavail * bsize).toBeLessThan(64 * MIB);
    const below = bavail * bsize - MIB;
    await writeFile(join(place.directory, 'below'), Buffer.alloc(below, 1));
    let written = below;
    const fill = async () => {
      for (;;) {
        await appendFile(join(place.directory, 'at'), Buffer.alloc(4096, 1), { flush: true });
        written += 4096;
      }
    };
    await expect(fill()).rejects.toMatchObject(failure('ENOSPC'));
    expect(written).toBeGreaterThan(below);
    expect(written).toBeLessThan(64 * MIB);
    await expect(appendFile(join(place.directory, 'at'), 'x')).rejects.toMatchObject(failure('ENOSPC'));
    expect((await stat(place.image)).size).toBe(64 * MIB);
  });

  test.each([
    [16 * MIB, 100],
    [64 * MIB, 200],
    [300 * MIB, 1_000],
  ])('of %i bytes takes the %i files that it was made for, and refuses more', async (bytes, inodes) => {
    const place = await freshImage(bytes, inodes);
    const mount = await openMount(place);
    const { ffree } = await statfs(place.directory);
    expect(ffree).toBeGreaterThanOrEqual(inodes);
    expect(ffree).toBeLessThan(inodes + 16 * Math.ceil(bytes / (128 * MIB)));
    for (let index = 0; index < ffree; index++) await writeFile(join(place.directory, `${index}`), '');
    await expect(mkdir(join(place.directory, 'more'))).rejects.toMatchObject(failure('ENOSPC'));
    expect((await mount.usage()).usedInodes).toBe(ffree);
  });

  test('is empty at first, and costs the host only what it holds', async () => {
    const place = await freshImage(1024 * MIB);
    const mount = await openMount(place);
    expect(await readdir(place.directory)).toEqual([]);
    expect((await mount.usage()).usedBytes).toBeLessThan(MIB);
    expect((await stat(place.image)).blocks * 512).toBeLessThan(8 * MIB);
  });

  test('honours no device and no set-user-id file', async () => {
    const place = await freshImage(MIN_CAPACITY_BYTES);
    await openMount(place);
    const line = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').find((text) => text.includes(place.root));
    expect(line).toMatch(/ rw,nosuid,nodev,/);
  });

  test('keeps its files from one mount to the next, and leaves no loop device behind', async () => {
    const place = await freshImage(MIN_CAPACITY_BYTES);
    const first = await CapacityMount.open(place);
    await writeFile(join(place.directory, 'file'), 'kept');
    await Promise.all([first.close(), first.close()]);
    expect(await readdir(place.directory)).toEqual([]);
    expect(await devicesOf(place.image)).toEqual([]);
    await openMount(place);
    expect(await readFile(join(place.directory, 'file'), 'utf8')).toBe('kept');
  });

  test('grows while files are open in it, and keeps them', async () => {
    const place = await freshImage(16 * MIB);
    const mount = await openMount(place);
    await writeFile(join(place.directory, 'file'), 'kept');
    await mount.grow(64 * MIB);
    const { blocks, bsize } = await statfs(place.directory);
    expect(blocks * bsize).toBeGreaterThan(52 * MIB);
    expect(await readdir(place.directory)).toEqual(['file']);
    expect(await readFile(join(place.directory, 'file'), 'utf8')).toBe('kept');
    await mount.grow(16 * MIB);
    expect((await stat(place.image)).size).toBe(64 * MIB);
  });

  test('has one superblock, also when another mount namespace still has it', async () => {
    const place = await freshImage(MIN_CAPACITY_BYTES);
    const mount = await CapacityMount.open(place);
    const guest = spawn(
      'unshare',
      ['--mount', 'sh', '-c', 'echo ready; cat > "$1/file"; sync', 'sh', place.directory],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    onTestFinished(() => void guest.kill('SIGKILL'));
    await once(guest.stdout, 'data');
    await mount.close();
    expect(await isMounted(place)).toBe(false);
    await openMount(place);
    expect(await devicesOf(place.image)).toHaveLength(1);
    guest.stdin.end('of the guest');
    await once(guest, 'exit');
    expect(await readFile(join(place.directory, 'file'), 'utf8')).toBe('of the guest');
  });

  test('opened by many at once is mounted once', async () => {
    const place = await freshImage(MIN_CAPACITY_BYTES);
    const mounts = await Promise.all(Array.from({ length: 8 }, () => CapacityMount.open(place)));
    const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
    expect(lines.filter((line) => line.includes(place.root))).toHaveLength(1);
    await Promise.all(mounts.map((mount) => mount.close()));
    expect(await isMounted(place)).toBe(false);
  });

  test.each([
    ['too few bytes', { bytes: MIN_CAPACITY_BYTES - 1 }],
    ['more files than fit into the bytes', { bytes: MIN_CAPACITY_BYTES, inodes: 1_000_000 }],
  ])('is refused with %s, and leaves nothing behind', async (_, limits) => {
    const root = await temporaryFolder();
    const refused = formatCapacityImage(join(root, 'data.ext4'), limits);
    await expect(refused).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.not.stringContaining(root),
    });
    expect(await readdir(root)).toEqual([]);
  });

  test('refuses to cover what somebody else mounted there', async () => {
    const place = await freshImage(MIN_CAPACITY_BYTES);
    await mkdir(place.directory);
    execFileSync('mount', ['-t', 'tmpfs', 'other', place.directory]);
    onTestFinished(() => void execFileSync('umount', [place.directory]));
    await expect(CapacityMount.open(place)).rejects.toMatchObject(failure('invalid_state'));
    expect(await devicesOf(place.image)).toEqual([]);
  });
});

describe.skipIf(!isRoot)('a mount whose owner was killed (only root can mount one)', () => {
  test('is taken over by the next process', async () => {
    const place = await freshImage(MIN_CAPACITY_BYTES);
    const holder = await hold(place);
    await writeFile(join(place.directory, 'file'), 'kept');
    await kill(holder);
    expect(await isMounted(place)).toBe(true);
    const mount = await openMount(place);
    expect(await devicesOf(place.image)).toHaveLength(1);
    expect(await readFile(join(place.directory, 'file'), 'utf8')).toBe('kept');
    await mount.close();
    expect(await isMounted(place)).toBe(false);
  });

  test('is reaped, and those of living processes are not', async () => {
    const place = await freshImage(MIN_CAPACITY_BYTES);
    const holder = await hold(place);
    expect(await reapCapacityMounts(place.root)).toEqual([]);
    expect(await isMounted(place)).toBe(true);
    await kill(holder);
    expect(await reapCapacityMounts(place.root)).toEqual([place.directory]);
    expect(await isMounted(place)).toBe(false);
    expect(await devicesOf(place.image)).toEqual([]);
  });

  test('stays for a living process when another lets go of it', async () => {
    const place = await freshImage(MIN_CAPACITY_BYTES);
    const mount = await CapacityMount.open(place);
    const holder = await hold(place);
    await mount.close();
    expect(await isMounted(place)).toBe(true);
    await kill(holder);
  });

  test('frees a loop device that never came to be mounted', async () => {
    const place = await freshImage(MIN_CAPACITY_BYTES);
    execFileSync('losetup', ['--find', place.image]);
    expect(await devicesOf(place.image)).toHaveLength(1);
    await reapCapacityMounts(place.root);
    expect(await devicesOf(place.image)).toEqual([]);
  });
});

test.skipIf(!isRoot)(
  'an ordinary user is told what to do instead of being given no limit (started as root)',
  async () => {
    const root = await temporaryFolder();
    process.seteuid?.(65_534);
    try {
      await expect(formatCapacityImage(join(root, 'data.ext4'), { bytes: MIN_CAPACITY_BYTES })).rejects.toMatchObject({
        code: 'unsupported',
        message: expect.stringMatching(/run the server as root, or leave the capacity out/),
      });
    } finally {
      process.seteuid?.(0);
    }
  },
);

test('parseMountInfo() reads names with blanks and any number of optional fields', () => {
  const text = [
    '42 27 7:0 / /a\\040b\\011c\\134d rw,nosuid shared:1 master:2 - ext4 /dev/loop3 rw',
    '43 27 0:5 / /gr\\303\\274n rw - tmpfs none rw',
    '',
  ].join('\n');
  expect(parseMountInfo(text)).toEqual([
    { directory: '/a b\tc\\d', type: 'ext4', source: '/dev/loop3' },
    { directory: '/grün', type: 'tmpfs', source: 'none' },
  ]);
});
