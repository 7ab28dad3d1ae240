/**
 * How long it takes until a new guest gives its first output with the workspace mounted: booted from scratch, restored and
 * claimed from the pool, in turns in one run; many at once; and a burst behind a ceiling of memory.
 * Run: `npm run bench:pool [-- ROUNDS]`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { QemuDriver } from '../../src/sandbox/drivers/qemu/driver.ts';
import { MemoryBudget } from '../../src/sandbox/memory-budget.ts';
import { SandboxServer } from '../../src/sandbox/server.ts';
import { Deadline, poll } from '../../src/util/deadline.ts';
import { Secret } from '../../src/util/secret.ts';
import { bootGuest, folderMount, GuestClient, guestSpec, MACHINE, openDriver } from '../support/driver-guest.ts';
import { firstOutput } from './first-output.ts';

const ROUNDS = Number(process.argv[2] ?? 3);
const AT_ONCE = 8;
const BURST = 50;
const KEY = new Secret('msb_bench');
const KINDS = ['cold', 'restored', 'pooled'] as const;

const folder = await mkdtemp(join(tmpdir(), 'workcell-bench-'));
await writeFile(join(folder, 'hello'), 'hello');
try {
  await compare();
  await atOnce();
  await burst();
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function compare(): Promise<void> {
  await using cold = await serve(await openDriver({ template: false }));
  await using restored = await serve(await openDriver());
  await using pooled = await serve(await openDriver({ pool: { size: 1 } }));
  const drivers = { cold, restored, pooled };
  const commands: Record<string, number[]> = { cold: [], restored: [], pooled: [] };
  const programs: Record<string, number[]> = { cold: [], restored: [], pooled: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of KINDS) {
      if (kind === 'pooled') await waitFor(pooled.driver, 1);
      commands[kind]?.push(await firstOfCommand(drivers[kind].driver, kind));
      if (kind === 'pooled') await waitFor(pooled.driver, 1);
      programs[kind]?.push(await firstOutput({ url: drivers[kind].url, key: KEY }, folder));
    }
  }
  report('first output of a command', commands);
  report('first output of a program', programs);
}

/** All of them give their first output, or this fails. */
async function atOnce(): Promise<void> {
  await using driver = await openDriver();
  for (let count = 1; count <= AT_ONCE; count *= 2) {
    const started = performance.now();
    await Promise.all(Array.from({ length: count }, () => firstOfCommand(driver, 'restored')));
    console.log(`${count} at once: all gave first output after ${(performance.now() - started).toFixed(0)} ms`);
  }
  await using guest = await bootGuest(driver, guestSpec([folderMount(folder)]));
  const { overheadBytes } = await guest.metrics();
  console.log(`resident beyond the RAM of a guest: ${(overheadBytes / 1024 / 1024).toFixed(0)} MiB`);
}

async function burst(): Promise<void> {
  const budget = new MemoryBudget(4 * MACHINE.memoryMib);
  await using driver = await openDriver({ pool: { size: 2, budget } });
  using deadline = new Deadline('The burst', 600_000);
  const started = performance.now();
  let most = 0;
  const one = async () => {
    const release = await budget.reserve(MACHINE.memoryMib, deadline);
    most = Math.max(most, budget.reservedMib);
    await firstOfCommand(driver, undefined).finally(release);
  };
  await Promise.all(Array.from({ length: BURST }, one));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${BURST} creates behind ${budget.ceilingMib} MiB: all ran within ${seconds} s, at most ${most} MiB reserved`,
  );
}

async function serve(driver: QemuDriver) {
  using deadline = new Deadline('Preparing', 600_000);
  await driver.prepare(deadline, (text) => console.error('…', text));
  const options = { driver, keys: [KEY], volumes: folder, bindRoots: [folder], bootTimeoutMs: 60_000 } as const;
  const server = await SandboxServer.listen(options);
  return {
    driver,
    url: server.url,
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await driver[Symbol.asyncDispose]();
    },
  };
}

async function waitFor(driver: QemuDriver, count: number): Promise<void> {
  using deadline = new Deadline('Filling the pool', 60_000);
  await poll(deadline, () => (driver.waiting >= count ? true : undefined), 50);
}

/** From nothing to the first byte of a command that reads the workspace. */
async function firstOfCommand(driver: QemuDriver, kind: string | undefined): Promise<number> {
  const started = performance.now();
  await using guest = await bootGuest(driver, guestSpec([folderMount(folder)]));
  if (kind !== undefined && guest.boot !== kind) throw new Error(`The guest was ${guest.boot}: ${guest.poolBypass}`);
  const client = await GuestClient.connect(guest);
  const id = client.start('sh', ['-c', 'cat /workspace/hello']);
  await client.until((message) => message.id === id && message.type === 'core.exec.stdout');
  return performance.now() - started;
}

function report(what: string, times: Readonly<Record<string, readonly number[]>>): void {
  const cold = median(times['cold'] ?? []);
  console.log(`${what}, ${ROUNDS} rounds, medians:`);
  for (const kind of KINDS) {
    const value = median(times[kind] ?? []);
    console.log(`  ${kind}: ${value.toFixed(0)} ms, ${(value / cold).toFixed(3)} of a cold boot`);
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
