import assert from 'node:assert/strict';
import { lstat, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { check } from './bench.ts';
import type { Shell } from './exec.ts';
import { monitorOf } from './monitors.ts';

export interface ContainedGuest {
  /** Of the tests. */
  readonly folder: string;
  /** Which the guest has, as `/workspace`. */
  readonly mine: string;
  /** Which another guest has that runs at the same time. */
  readonly others: string;
  readonly sh: Shell;
}

/** What a guest's machine monitor can reach is what is that guest's. */
export async function checkContainment({ folder, mine, others, sh }: ContainedGuest): Promise<void> {
  await writeFile(join(others, 'secret.txt'), 'of another customer');
  const monitor = await monitorOf(mine);
  const root = `/proc/${monitor}/root`;

  await check('the machine monitor sees neither the host nor another customer', async () => {
    // The third mount is none of the host's.
    assert.deepEqual((await readdir(join(root, 'mounts'))).sort(), ['0', '1', '3']);
    for (const path of [others, mine, folder, '/root', '/home', '/script', '/old/root'])
      await assert.rejects(lstat(join(root, path)), { code: 'ENOENT' }, path);
    assert.deepEqual(
      (await readdir(join(root, 'etc'))).filter((name) => name === 'passwd' || name === 'shadow'),
      [],
    );
    const mounts = await readFile(`/proc/${monitor}/mountinfo`, 'utf8');
    assert.ok(!mounts.includes('others'), mounts);
    assert.notEqual(await monitorOf(others), monitor);
    assert.deepEqual((await readdir(join(root, 'proc'))).filter((name) => /^\d+$/.test(name)).length, 2);
  });

  await check("the machine monitor has none of root's rights, no network and none of our environment", async () => {
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
  });

  await check('tricks with links and dots end in the guest', async () => {
    const run = async (script: string) => (await sh(script, { cwd: '/workspace', user: 'root' })).stdout;
    const tricks = [
      `ln -s ${others} out; cat out/secret.txt 2>&1; cat ../others/secret.txt 2>&1; ls ../.. | grep -c others`,
      'ln -s ../../../../../../../root/testbed/customers/others up; cat up/secret.txt 2>&1',
    ];
    for (const trick of tricks) assert.doesNotMatch(await run(trick), /of another/);
    await run('mknod /workspace/vda b 254 0; mknod /workspace/kvm c 10 232');
    for (const name of await readdir(mine)) {
      const entry = await lstat(join(mine, name));
      assert.ok(!entry.isBlockDevice() && !entry.isCharacterDevice(), `${name} is a device on the host`);
    }
    assert.deepEqual(await readdir(others), ['secret.txt']);
  });
}
