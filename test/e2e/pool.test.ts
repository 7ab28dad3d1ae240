import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { QemuDriver } from '../../src/sandbox/drivers/qemu/driver.ts';
import { MemoryBudget } from '../../src/sandbox/memory-budget.ts';
import { Deadline } from '../../src/util/deadline.ts';
import { bootGuest, folderMount, GuestClient, guestSpec, MACHINE, openDriver } from '../support/driver-guest.ts';
import { descendantsNamed, eventually } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const DRAW = `
  const { randomBytes, randomUUID } = require('node:crypto');
  export default [Math.random(), randomBytes(16).toString('hex'), randomUUID(), crypto.getRandomValues(new Uint32Array(4)).join()]
    .concat(require('node:fs').readFileSync('/proc/sys/kernel/random/uuid', 'utf8'));`;

const budget = new MemoryBudget(2 * MACHINE.memoryMib);
let stack: AsyncDisposableStack;
let driver: QemuDriver;
let folder: string;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  folder = stack.use(await tempFolder()).path;
  // As on a host with systemd: what is mounted and unmounted later is so in the namespaces of waiting guests, too.
  execFileSync('mount', ['--bind', '--make-shared', folder, folder]);
  stack.defer(() => void execFileSync('umount', [folder]));
  driver = stack.use(await openDriver({ pool: { size: 2, budget } }));
  using deadline = new Deadline('Preparing', 180_000);
  await driver.prepare(deadline, () => {});
});

afterAll(() => stack[Symbol.asyncDispose]());

async function full(): Promise<void> {
  using deadline = new Deadline('Filling the pool', 150_000);
  while (driver.waiting < 2) await deadline.race(new Promise((resolve) => setTimeout(resolve, 20)));
}

async function workspace(name: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'whose'), name);
  return path;
}

it('gives waiting guests to two customers, each with its own folders, environment and randomness', async () => {
  await full();
  const names = ['ann', 'bob'];
  const seen = await Promise.all(
    names.map(async (name) => {
      const mounts = [folderMount(await workspace(name)), folderMount(folder, '/everything', true)];
      const spec = guestSpec(mounts.slice(0, 1), { hostname: `of-${name}`, env: [`WHO=${name}`, 'NODE_ENV=test'] });
      await using guest = await bootGuest(driver, spec);
      const client = await GuestClient.connect(guest);
      const { stdout } = await client.shell(
        'cat /workspace/whose; echo " $WHO $(cat /proc/sys/kernel/hostname)"; ls /.workcell/view/mounts/1',
      );
      const environment = (await client.program('export default [process.env.WHO, process.cwd()]')) as unknown;
      const { overheadBytes, residentBytes } = await guest.metrics();
      expect(overheadBytes).toBeGreaterThan(0);
      expect(residentBytes).toBeGreaterThan(0);
      return {
        boot: guest.boot,
        bypass: guest.poolBypass,
        stdout,
        environment,
        drawn: (await client.program(DRAW)) as unknown[],
      };
    }),
  );
  expect(seen.map(({ boot, bypass }) => ({ boot, bypass }))).toEqual(
    names.map(() => ({ boot: 'pooled', bypass: undefined })),
  );
  expect(seen.map(({ stdout }) => stdout)).toEqual(names.map((name) => `${name} ${name} of-${name}\n`));
  expect(seen.map(({ environment }) => environment)).toEqual(names.map((name) => [name, '/workspace']));
  expect(new Set(seen.flatMap(({ drawn }) => drawn)).size).toBe(10);
});

it('a guest that has died while it waited is replaced, and the pool fills up again', async () => {
  await full();
  const [victim = 0] = await descendantsNamed('qemu-system-x86_64');
  process.kill(victim, 'SIGKILL');
  await eventually(async () => {
    const machines = await descendantsNamed('qemu-system-x86_64');
    return !machines.includes(victim) && machines.length === 2;
  });
  await full();
  // That of the dead one ends with what it leaves behind, which nobody waits for.
  await eventually(async () => (await descendantsNamed('virtiofsd')).length === 2);
});

it('a guest of another size says why it does not come from the pool', async () => {
  await using guest = await bootGuest(driver, guestSpec([], { memoryMib: 384 }));
  expect(guest).toMatchObject({ boot: 'restored', poolBypass: "384 MiB asked, the pool's guests have 512" });
});

it('waiting guests give their memory to whoever needs it', async () => {
  await full();
  expect(budget.reservedMib).toBe(budget.ceilingMib);
  using deadline = new Deadline('Reserving', 60_000);
  const release = await budget.reserve(budget.ceilingMib, deadline);
  expect(driver.waiting).toBe(0);
  release();
});

it('a volume with a capacity is full when its image is, for the guest and the host alike', async () => {
  await full();
  const [image, path] = [join(folder, 'bounded.ext4'), join(folder, 'bounded')];
  await mkdir(path);
  execFileSync('truncate', ['--size', '16M', image]);
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-m', '0', image]);
  execFileSync('mount', ['-o', 'loop', image, path]);
  try {
    const mount = { ...folderMount(path), capacityImage: image };
    await using guest = await bootGuest(driver, guestSpec([mount, folderMount(path, '/plain', true)]));
    expect(guest.boot).toBe('pooled');
    const client = await GuestClient.connect(guest);
    const fits = await client.shell('head -c 4194304 /dev/zero > /workspace/small && stat -c %s /plain/small');
    expect(fits).toMatchObject({ code: 0, stdout: '4194304\n' });
    expect((await readFile(join(path, 'small'))).byteLength).toBe(4 * 1024 * 1024);
    const { code, stderr } = await client.shell('head -c 33554432 /dev/zero > /workspace/large');
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/No space left on device/);
    expect(await readdir(path)).toEqual(expect.arrayContaining(['small', 'large']));
  } finally {
    execFileSync('umount', [path]);
  }
  await eventually(() => !execFileSync('losetup', ['--all']).toString().includes(image));
});

it('boots a folder that holds nothing but busybox as an image', async () => {
  const root = join(folder, 'image');
  const kernel = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell/qemu/kernel');
  await mkdir(join(root, 'bin'), { recursive: true });
  await copyFile(join(kernel, 'bin/busybox'), join(root, 'bin/busybox')).catch(() =>
    copyFile(join(kernel, 'usr/bin/busybox'), join(root, 'bin/busybox')),
  );
  for (const name of ['sh', 'ls', 'cat']) await symlink('busybox', join(root, 'bin', name));
  const spec = guestSpec([folderMount(await workspace('busy'))], { image: { kind: 'directory', path: root } });
  await using guest = await bootGuest(driver, spec);
  expect(guest.poolBypass).toBe(`an image of kind "directory" asked, the pool's guests have "host"`);
  const client = await GuestClient.connect(guest);
  expect(await client.shell('cat /workspace/whose; ls /bin')).toMatchObject({ stdout: 'busybusybox\ncat\nls\nsh\n' });
  expect(await client.program('export default 6 * 7')).toBe(42);
});

it('a guest bounds the number of its processes by its memory', async () => {
  await using guest = await bootGuest(driver, guestSpec([]));
  const client = await GuestClient.connect(guest);
  const limit = Number((await client.shell('cat /proc/sys/kernel/threads-max')).stdout);
  expect(limit).toBeGreaterThan(1000);
  expect(limit).toBeLessThanOrEqual(4 * MACHINE.memoryMib);
});
