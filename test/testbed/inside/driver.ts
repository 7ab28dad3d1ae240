import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Guest, GuestSpec } from '../../../src/sandbox/driver.ts';
import { MicrosandboxDriver } from '../../../src/sandbox/drivers/microsandbox/driver.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { eventually } from '../../support/processes.ts';
import { type Bench, check } from './bench.ts';
import { exec } from './exec.ts';
import { monitors } from './monitors.ts';
import { loadOciImage } from './oci-image.ts';

const run = promisify(execFile);
const BOOT_MS = 180_000;

/** Which the runtime's own configuration would take for a variable. */
const VALUE = '$'.concat('{HOME} "c"');

/** The driver by itself: what its port promises. */
export async function checkDriver(bench: Bench): Promise<void> {
  const { folder } = bench;
  const cache = join(folder, 'cache');
  const workspace = join(folder, 'files');
  await mkdir(workspace, { recursive: true });
  await using driver = new MicrosandboxDriver({ cache });
  const boot = async (extra: Partial<GuestSpec> = {}): Promise<Guest> => {
    using deadline = new Deadline('Booting', BOOT_MS);
    return driver.boot({ ...specOf(bench, workspace), ...extra }, deadline);
  };
  const connect = async (guest: Guest) => {
    using deadline = new Deadline('Connecting', BOOT_MS);
    return guest.connectAgent(deadline);
  };
  const isEmpty = async () => (await readdir(join(cache, 'microsandbox/guests'))).length === 0;

  await check('the driver gives commands their environment, user, folder and limits', async () => {
    await using guest = await boot({
      env: [`A=${VALUE}`],
      user: '1000',
      rlimits: [{ resource: 'nofile', soft: 50, hard: 60 }],
    });
    const stream = await connect(guest);
    const said = await exec(stream, { cmd: 'sh', args: ['-c', 'echo "$A"; id -u; pwd; ulimit -n; hostname'] });
    assert.deepEqual(said, { stdout: `${VALUE}\n1000\n/workspace\n50\nhost-name\n`, code: 0 });
  });

  await check('mounts are as asked: writable, read-only, of a size', async () => {
    const options = { readonly: false, noexec: false, nosuid: true, nodev: true };
    await using guest = await boot({
      mounts: [
        { kind: 'directory', path: workspace, target: '/workspace', options },
        { kind: 'directory', path: workspace, target: '/fixed', options: { ...options, readonly: true } },
        { kind: 'tmpfs', target: '/small', sizeMib: 2, options },
      ],
    });
    const stream = await connect(guest);
    const run = (script: string) => exec(stream, { cmd: 'sh', args: ['-c', script] });
    assert.equal((await run('echo hi > /workspace/from-guest; chmod 755 /workspace/from-guest')).code, 0);
    assert.equal(await readFile(join(workspace, 'from-guest'), 'utf8'), 'hi\n');
    assert.notEqual((await run('echo no > /fixed/file')).code, 0);
    assert.notEqual((await run('mount -o remount,rw /fixed; echo no > /fixed/file')).code, 0);
    assert.notEqual((await run('head -c 3000000 /dev/zero > /small/file')).code, 0);
    assert.deepEqual((await readdir(workspace)).sort(), ['from-guest']);
    const { residentBytes, cpuMs } = await guest.metrics();
    assert.ok(residentBytes > 1_000_000 && cpuMs > 0, `${residentBytes} ${cpuMs}`);
    assert.equal((await guest.stop(30_000)).forced, false);
    assert.equal((await guest.exited).unexpected, false);
    assert.ok(await isEmpty());
  });

  await check('what a guest changes in its image is gone with it', async () => {
    await using guest = await boot();
    const stream = await connect(guest);
    assert.equal((await exec(stream, { cmd: 'sh', args: ['-c', 'echo x > /etc/new && rm /etc/group'] })).code, 0);
    assert.deepEqual((await readdir(join(folder, 'image/etc'))).sort(), ['group', 'passwd']);
    assert.deepEqual((await readdir(join(folder, 'image'))).sort(), ['bin', 'etc', 'root', 'tmp']);
  });

  await check('a disk image boots from a copy, and an OCI image from its layers', async () => {
    const image = join(folder, 'image');
    const disk = join(folder, 'disk.raw');
    await run('mke2fs', ['-q', '-t', 'ext4', '-d', image, disk, '32M']);
    const before = await digestOf(disk);
    const reference = 'tiny:1';
    await loadOciImage(bench, reference, join(cache, 'microsandbox/images'));
    for (const source of [
      { kind: 'disk', path: disk, format: 'raw' },
      { kind: 'oci', reference },
    ] as const) {
      await using guest = await boot({ image: source });
      const stream = await connect(guest);
      const said = await exec(stream, { cmd: 'sh', args: ['-c', 'echo x > /etc/new; cat /etc/new; pwd'] });
      assert.deepEqual(said, { stdout: 'x\n/workspace\n', code: 0 }, source.kind);
    }
    assert.equal(await digestOf(disk), before);
  });

  await check('an image that no registry gives is named, with the reason', async () => {
    await assert.rejects(boot({ image: { kind: 'oci', reference: 'localhost:1/none:1' } }), {
      code: 'sandbox_boot_failed',
      message: /^Cannot pull the image "localhost:1\/none:1": .*(connect|refused|error)/i,
    });
  });

  await check("the image `host` is this machine's programs under a root of the guest's own", async () => {
    await using guest = await boot({ image: { kind: 'host' } });
    const stream = await connect(guest);
    const sh = (script: string) => exec(stream, { cmd: 'sh', args: ['-c', script] });
    assert.deepEqual(await sh('echo x > /etc/new && mkdir /srv && ls /etc/new && whoami && pwd'), {
      stdout: '/etc/new\nroot\n/workspace\n',
      code: 0,
    });
    assert.notEqual((await sh('touch /usr/bin/new')).code, 0);
    assert.notEqual((await sh('mount -o remount,rw /usr; touch /usr/bin/new')).code, 0);
  });

  await check('a machine monitor that dies is noticed, and nothing of the guest is left', async () => {
    await using guest = await boot();
    const [pid] = await monitors();
    process.kill(Number(pid), 'SIGKILL');
    assert.equal((await guest.exited).unexpected, true);
    assert.ok(await isEmpty());
  });

  await check('a guest that survives is adopted by the next process, once', async () => {
    const first = await boot({ survives: true });
    const { record } = first;
    assert.ok(record);
    const stream = await connect(first);
    assert.equal((await exec(stream, { cmd: 'sh', args: ['-c', 'echo still > /tmp/here'] })).code, 0);
    stream.destroy();
    await using next = new MicrosandboxDriver({ cache });
    using deadline = new Deadline('Adopting', BOOT_MS);
    const adopted = await next.adopt(JSON.parse(JSON.stringify(record)), deadline);
    assert.ok(adopted);
    assert.equal((await exec(await connect(adopted), { cmd: 'cat', args: ['/tmp/here'] })).stdout, 'still\n');
    await adopted.stop(0);
    await eventually(async () => (await monitors()).length === 0 && (await isEmpty()));
    assert.equal(await next.adopt(record, deadline), undefined);
  });
}

async function digestOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

export function specOf({ folder }: Bench, workspace: string): GuestSpec {
  const options = { readonly: false, noexec: false, nosuid: true, nodev: true };
  return {
    id: 'id',
    hostname: 'host-name',
    image: { kind: 'directory', path: join(folder, 'image') },
    cpus: 1,
    memoryMib: 256,
    mounts: [{ kind: 'directory', path: workspace, target: '/workspace', options }],
    env: [],
    workdir: '/workspace',
  };
}
