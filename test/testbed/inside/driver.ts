import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { GuestSpec } from '../../../src/sandbox/driver.ts';
import { MicrosandboxDriver } from '../../../src/sandbox/drivers/microsandbox/driver.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { eventually } from '../../support/processes.ts';
import { type Bench, check } from './bench.ts';
import { BOOT_MS, booter, OPTIONS } from './boot.ts';
import { checkContainment } from './containment.ts';
import { exec } from './exec.ts';
import { monitorOf, monitors } from './monitors.ts';
import { serveImage } from './registry.ts';

const run = promisify(execFile);

/** Which the runtime's own configuration would take for a variable. */
const VALUE = '$'.concat('{HOME} "c"');

/** The driver by itself: what its port promises, and what keeps its guests apart. */
export async function checkDriver(bench: Bench): Promise<void> {
  const { folder } = bench;
  const cache = join(folder, 'cache');
  const customers = join(folder, 'customers');
  const [mine, others] = [join(customers, "mi'ne, inc $x"), join(customers, 'others')];
  for (const path of [mine, others]) await mkdir(path, { recursive: true });
  await using driver = new MicrosandboxDriver({ cache });
  const boot = booter(driver);
  const guests = async () => (await readdir(join(cache, 'microsandbox/guests'))).length;

  // Two at a time: there are two processors.
  const [first, second] = await Promise.all([
    boot({
      ...specOf(bench, mine),
      env: [`A=${VALUE}`],
      user: '1000',
      rlimits: [{ resource: 'nofile', soft: 50, hard: 60 }],
      mounts: [
        { kind: 'directory', path: mine, target: '/workspace', options: OPTIONS },
        { kind: 'directory', path: mine, target: '/fixed', options: { ...OPTIONS, readonly: true } },
        { kind: 'tmpfs', target: '/small', sizeMib: 2, options: OPTIONS },
      ],
    }),
    boot({ ...specOf(bench, others), image: { kind: 'host' } }),
  ]);

  await check('the driver gives commands their environment, user, folder and limits', async () => {
    const said = await first.sh('echo "$A"; id -u; pwd; ulimit -n; hostname');
    assert.deepEqual(said, { stdout: `${VALUE}\n1000\n/workspace\n50\nhost-name\n`, code: 0 });
  });

  await check('mounts are as asked: writable, read-only, of a size', async () => {
    const run = (script: string) => first.sh(script, { user: 'root' });
    assert.equal((await run('echo hi > /workspace/from-guest; chmod 755 /workspace/from-guest')).code, 0);
    assert.equal(await readFile(join(mine, 'from-guest'), 'utf8'), 'hi\n');
    assert.notEqual((await run('echo no > /fixed/file')).code, 0);
    assert.notEqual((await run('mount -o remount,rw /fixed; echo no > /fixed/file')).code, 0);
    assert.notEqual((await run('head -c 3000000 /dev/zero > /small/file')).code, 0);
    assert.deepEqual(await readdir(mine), ['from-guest']);
  });

  await check('what a guest changes in its image is its own', async () => {
    assert.equal((await first.sh('echo x > /etc/new && rm /etc/group', { user: 'root' })).code, 0);
    assert.deepEqual((await readdir(join(folder, 'image/etc'))).sort(), ['group', 'passwd']);
    assert.deepEqual((await readdir(join(folder, 'image'))).sort(), ['bin', 'etc', 'root', 'tmp']);
  });

  await check("the image `host` is this machine's programs under a root of the guest's own", async () => {
    assert.deepEqual(await second.sh('echo x > /etc/new && mkdir /srv && ls /etc/new && whoami && pwd'), {
      stdout: '/etc/new\nroot\n/workspace\n',
      code: 0,
    });
    assert.notEqual((await second.sh('touch /usr/bin/new')).code, 0);
    assert.notEqual((await second.sh('mount -o remount,rw /usr; touch /usr/bin/new')).code, 0);
  });

  await checkContainment({ folder, mine, others, sh: first.sh });

  await check('a machine monitor that dies is noticed, and nothing of the guest is left', async () => {
    process.kill(await monitorOf(others), 'SIGKILL');
    assert.equal((await second.guest.exited).unexpected, true);
    assert.equal(await guests(), 1);
  });

  await check('a guest is measured, ends when it is asked to, and leaves nothing', async () => {
    const { residentBytes, cpuMs } = await first.guest.metrics();
    assert.ok(residentBytes > 1_000_000 && cpuMs > 0, `${residentBytes} ${cpuMs}`);
    assert.equal((await first.guest.stop(30_000)).forced, false);
    assert.equal((await first.guest.exited).unexpected, false);
    assert.equal(await guests(), 0);
  });

  const refused = check('an image that no registry gives is named, with the reason', async () => {
    await assert.rejects(boot({ ...specOf(bench, mine), image: { kind: 'oci', reference: 'localhost:1/none:1' } }), {
      code: 'sandbox_boot_failed',
      message: /^Cannot pull the image "localhost:1\/none:1": .*(connect|refused|error)/i,
    });
  });

  await using registry = await serveImage(join(folder, 'image'), join(folder, 'registry'));
  const { reference } = registry;
  const disk = join(folder, 'disk.raw');
  await run('mke2fs', ['-q', '-t', 'ext4', '-d', join(folder, 'image'), disk, '32M']);
  const before = await digestOf(disk);
  const [onDisk, onLayers] = await Promise.all([
    boot({ ...specOf(bench, mine), image: { kind: 'disk', path: disk, format: 'raw' } }),
    boot({ ...specOf(bench, mine), image: { kind: 'oci', reference }, survives: true }),
  ]);

  await refused;
  await check('a disk image boots from a copy, and an OCI image of a registry from its layers', async () => {
    for (const { sh } of [onDisk, onLayers])
      assert.deepEqual(await sh('echo x > /etc/new; cat /etc/new; pwd'), { stdout: 'x\n/workspace\n', code: 0 });
    await onDisk.guest.stop(0);
    assert.equal(await digestOf(disk), before);
    assert.ok(registry.asked.includes('/v2/tiny/manifests/1'), registry.asked.join(' '));
  });

  await check('a guest that survives is adopted by the next process, once', async () => {
    const { record } = onLayers.guest;
    assert.ok(record);
    await using next = new MicrosandboxDriver({ cache });
    using deadline = new Deadline('Adopting', BOOT_MS);
    const adopted = await next.adopt(JSON.parse(JSON.stringify(record)), deadline);
    assert.ok(adopted);
    const stream = await adopted.connectAgent(deadline);
    assert.equal((await exec(stream, { cmd: 'cat', args: ['/etc/new'] })).stdout, 'x\n');
    await adopted.stop(0);
    await eventually(async () => (await monitors()).length === 0 && (await guests()) === 0);
    assert.equal(await next.adopt(record, deadline), undefined);
  });
}

async function digestOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

function specOf({ folder }: Bench, workspace: string): GuestSpec {
  return {
    id: 'id',
    hostname: 'host-name',
    image: { kind: 'directory', path: join(folder, 'image') },
    cpus: 1,
    memoryMib: 256,
    mounts: [{ kind: 'directory', path: workspace, target: '/workspace', options: OPTIONS }],
    env: [],
    workdir: '/workspace',
  };
}
