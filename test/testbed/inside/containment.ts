import assert from 'node:assert/strict';
import { lstat, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MicrosandboxDriver } from '../../../src/sandbox/drivers/microsandbox/driver.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { type Bench, check } from './bench.ts';
import { specOf } from './driver.ts';
import { exec } from './exec.ts';
import { monitors } from './monitors.ts';

/** What a guest's machine monitor can reach is what is that guest's. */
export async function checkContainment(bench: Bench): Promise<void> {
  const customers = join(bench.folder, 'customers');
  const [mine, others] = [join(customers, "mi'ne, inc $x"), join(customers, 'others')];
  for (const path of [mine, others]) await mkdir(path, { recursive: true });
  await writeFile(join(others, 'secret.txt'), 'of another customer');
  await using driver = new MicrosandboxDriver({ cache: join(bench.folder, 'cache') });
  using deadline = new Deadline('Booting', 180_000);
  await using guest = await driver.boot(specOf(bench, mine), deadline);
  await using neighbour = await driver.boot(specOf(bench, others), deadline);
  const stream = await guest.connectAgent(deadline);
  const [monitor, next] = (await monitors()).sort((a, b) => a - b);
  const root = `/proc/${monitor}/root`;

  await check('the machine monitor sees neither the host nor another customer', async () => {
    assert.deepEqual((await readdir(join(root, 'mounts'))).sort(), ['0', '1']);
    for (const path of [others, mine, bench.folder, '/root', '/home', '/script', '/old/root'])
      await assert.rejects(lstat(join(root, path)), { code: 'ENOENT' }, path);
    assert.deepEqual(
      (await readdir(join(root, 'etc'))).filter((name) => name === 'passwd' || name === 'shadow'),
      [],
    );
    const mounts = await readFile(`/proc/${monitor}/mountinfo`, 'utf8');
    assert.ok(!mounts.includes('others'), mounts);
    assert.match(await readFile(`/proc/${next}/mountinfo`, 'utf8'), /others/);
    assert.deepEqual((await readdir(join(root, 'proc'))).filter((name) => /^\d+$/.test(name)).length, 2);
  });

  await check(
    "the machine monitor has none of root's rights to get out, no network and no environment of the server",
    async () => {
      const status = await readFile(`/proc/${monitor}/status`, 'utf8');
      // CAP_DAC_OVERRIDE is bit 1, CAP_FOWNER bit 3.
      for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
        assert.match(status, new RegExp(`${set}:\\s+000000000000000a`), status);
      assert.match(status, /NoNewPrivs:\s+1/);
      assert.deepEqual(
        (await readFile(`/proc/${monitor}/net/dev`, 'utf8')).match(/^\s*\w+:/gm)?.map((name) => name.trim()),
        ['lo:'],
      );
      assert.doesNotMatch(await readFile(`/proc/${monitor}/environ`, 'utf8'), /TESTBED_SECRET/);
    },
  );

  await check('tricks with links and dots end in the guest', async () => {
    const run = async (script: string) =>
      (await exec(stream, { cmd: 'sh', args: ['-c', script], cwd: '/workspace' })).stdout;
    assert.equal(
      await run(
        `ln -s ${others} out; cat out/secret.txt 2>&1; cat ../others/secret.txt 2>&1; ls ../.. | grep -c others`,
      ).then((text) => text.includes('of another')),
      false,
    );
    assert.equal(
      await run('ln -s ../../../../../../../root/testbed/customers/others up; cat up/secret.txt 2>&1').then((text) =>
        text.includes('of another'),
      ),
      false,
    );
    await run('mknod /workspace/vda b 254 0; mknod /workspace/kvm c 10 232');
    for (const name of await readdir(mine)) {
      const entry = await lstat(join(mine, name));
      assert.ok(!entry.isBlockDevice() && !entry.isCharacterDevice(), `${name} is a device on the host`);
    }
    assert.deepEqual(await readdir(others), ['secret.txt']);
  });
  await neighbour.stop(0);
}
