import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type NetworkPolicy, parseAllowList } from '../../../src/core/network-policy.ts';
import type { GuestSpec } from '../../../src/sandbox/driver.ts';
import { MicrosandboxDriver } from '../../../src/sandbox/drivers/microsandbox/driver.ts';
import { Secret } from '../../../src/util/secret.ts';
import { type Bench, check } from './bench.ts';
import { booter, OPTIONS } from './boot.ts';
import type { Shell } from './exec.ts';
import { monitorOf } from './monitors.ts';
import { openSmallInternet, PLACES, PORTS, type SmallInternet } from './small-internet.ts';

const run = promisify(execFile);
const VALUE = "real-value-of-the-secret it's";
const MIB = 1024 ** 2;
/** How long a guest tries to reach a place; a packet that is not allowed is never answered. */
const PATIENCE_S = 10;

/** What guests reach, what they know of secrets, and how much they may write. */
export async function checkNetwork(bench: Bench): Promise<void> {
  const { folder } = bench;
  const cache = join(folder, 'network-cache');
  const [mine, others] = [join(folder, 'network/mine'), join(folder, 'network/others')];
  for (const path of [mine, others]) await mkdir(path, { recursive: true });
  await using internet = await openSmallInternet(bench.busybox);
  await using driver = new MicrosandboxDriver({ cache });
  const boot = booter(driver);
  const spec = (path: string, ...policies: NetworkPolicy[]): GuestSpec => ({
    id: 'id',
    hostname: 'host-name',
    // It has a shell that resolves names and connects.
    image: { kind: 'host' },
    cpus: 1,
    memoryMib: 256,
    mounts: [{ kind: 'directory', path, target: '/workspace', options: OPTIONS, quotaMib: 2 }],
    env: [],
    workdir: '/workspace',
    network: { policies },
  });
  const server = parseAllowList([`api.example.com:${PORTS.open}`, `${PLACES.database}:${PORTS.open}`]);
  const [first, second] = await Promise.all([
    boot({
      ...spec(mine, server),
      secrets: {
        onViolation: 'block-and-log',
        entries: [
          {
            name: 'TOKEN',
            value: new Secret(VALUE),
            hosts: ['api.example.com'],
            inject: ['headers'],
            requiresTls: false,
          },
        ],
      },
    }),
    boot(spec(others, parseAllowList([`*:${PORTS.open}`, `${PLACES.database}:${PORTS.open}`]), OF_A_CLIENT)),
  ]);

  await check('a guest reaches the name and the private address that are allowed, and nothing else', async () => {
    const reached = await reach(first.sh, internet, [
      ['api.example.com', PORTS.open],
      ['api.example.com', PORTS.closed],
      ['other.example.com', PORTS.open],
      ['rebound.example.com', PORTS.open],
      ['host.microsandbox.internal', PORTS.open],
      [PLACES.other, PORTS.open],
      [PLACES.database, PORTS.open],
      [PLACES.database, PORTS.closed],
      [PLACES.neighbour, PORTS.open],
      [PLACES.metadata, PORTS.open],
    ]);
    assert.deepEqual(reached, [`${PLACES.database}:${PORTS.open}`, `${PLACES.api}:${PORTS.open}`]);
    assert.deepEqual([...internet.lookups], ['api.example.com']);
  });

  await check('of two policies a guest reaches what both allow', async () => {
    const reached = await reach(second.sh, internet, [
      ['other.example.com', PORTS.open],
      ['other.example.com', PORTS.closed],
      ['api.example.com', PORTS.open],
      ['rebound.example.com', PORTS.open],
      [PLACES.database, PORTS.open],
      [PLACES.metadata, PORTS.open],
    ]);
    assert.deepEqual(reached, [`${PLACES.other}:${PORTS.open}`]);
  });

  await check('a guest has the placeholder of a secret, and the host that may have it gets the value', async () => {
    assert.equal((await first.sh('printf %s "$TOKEN"')).stdout, '$MSB_TOKEN');
    const sent = internet.requests.length;
    await first.sh(
      requests(
        [PLACES.database, 'api.example.com'].map((place) => [place, PORTS.open]),
        '$TOKEN',
      ),
    );
    assert.deepEqual(internet.requests.slice(sent), [`${PLACES.api}:${PORTS.open} ${VALUE}`]);
  });

  await check("the value of a secret is in no guest, no file and no command of this machine's", async () => {
    // It runs.
    await monitorOf(mine);
    // Written so that it does not find itself.
    const inGuest = `cat /proc/*/environ /proc/*/cmdline 2>/dev/null | grep -ac real-valu[e]
      grep -rsalI real-valu[e] /etc /run /tmp /root /var /workspace /.msb`;
    assert.equal((await first.sh(inGuest, { user: 'root' })).stdout, '0\n');
    const found = await run('grep', ['-rsla', '--', 'real-value', cache]).catch(({ code, stdout }) => ({
      code,
      stdout,
    }));
    assert.deepEqual(found, { code: 1, stdout: '' });
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
      assert.doesNotMatch(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''), /real-value/);
  });

  await check('a guest cannot write more to a folder than its quota', async () => {
    const write = (bytes: number, name: string) =>
      first.sh(`head -c ${bytes} /dev/zero >${name} 2>/dev/null && echo written`, { user: 'root' });
    assert.equal((await write(MIB, 'within')).stdout, 'written\n');
    assert.equal((await write(2 * MIB, 'beyond')).stdout, '');
    const sizes = await Promise.all((await readdir(mine)).map(async (name) => (await stat(join(mine, name))).size));
    const size = sizes.reduce((sum, each) => sum + each, 0);
    assert.ok(size >= MIB && size <= 2 * MIB, `${size} bytes`);
    assert.equal((await first.sh('rm within beyond; head -c 1500000 /dev/zero >again', { user: 'root' })).code, 0);
  });

  await Promise.all([first.guest.stop(0), second.guest.stop(0)]);
}

/** With the rule that the stock clients send for names. */
const OF_A_CLIENT: NetworkPolicy = {
  defaultEgress: 'deny',
  rules: [
    {
      action: 'allow',
      destination: { kind: 'group', group: 'host' },
      ports: [{ start: 53, end: 53 }],
    },
    { action: 'allow', destination: { kind: 'domain', name: 'other.example.com' }, ports: [] },
  ],
};

/** The servers say which of the places were reached. */
async function reach(sh: Shell, internet: SmallInternet, places: readonly Place[]): Promise<string[]> {
  const before = internet.requests.length;
  await sh(requests(places, '-'));
  return internet.requests
    .slice(before)
    .map((line) => line.split(' ')[0] ?? '')
    .sort();
}

type Place = readonly [string, number];

/** A line of shell that asks all places at the same time. */
function requests(places: readonly Place[], authorization: string): string {
  const each = places.map(([place, port]) => {
    const head = `GET / HTTP/1.1\\r\\nHost: ${place}\\r\\nConnection: close\\r\\nAuthorization: %s\\r\\n\\r\\n`;
    return `(exec 3<>/dev/tcp/${place}/${port} && printf "${head}" "${authorization}" >&3 && cat <&3) &`;
  });
  return `timeout ${PATIENCE_S} bash -c '${each.join('\n')}\nwait' >/dev/null 2>&1`;
}
