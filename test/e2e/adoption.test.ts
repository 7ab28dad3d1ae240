import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { GuestRecord } from '../../src/sandbox/driver.ts';
import { Deadline } from '../../src/util/deadline.ts';
import { bootGuest, GuestClient, guestSpec, openDriver } from '../support/driver-guest.ts';
import { descendantsNamed, eventually, isRunning } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const HOLDER = fileURLToPath(new URL('../support/guest-holder.ts', import.meta.url));

let stack: AsyncDisposableStack;
let holder: ChildProcess;
let records: readonly GuestRecord[];
/** Of all guests of the holder. */
let processes: readonly number[];
let folder: string;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  folder = stack.use(await tempFolder()).path;
  await writeFile(join(folder, 'hello'), 'of the workspace');
  holder = spawn(process.execPath, [HOLDER, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  stack.defer(() => void holder.kill('SIGKILL'));
  if (holder.stdout === null) throw new Error('The holder has no output');
  records = JSON.parse(String((await once(holder.stdout, 'data'))[0]));
  processes = [...(await descendantsNamed('qemu-system-x86_64')), ...(await descendantsNamed('virtiofsd'))];
  stack.defer(async () => {
    for (const { data } of records) {
      const { machine } = data as { machine: { pid: number } };
      if (await isRunning(machine.pid)) process.kill(machine.pid, 'SIGKILL');
    }
  });
  holder.kill('SIGKILL');
  await once(holder, 'exit');
});

afterAll(() => stack[Symbol.asyncDispose]());

async function alive(): Promise<number> {
  return (await Promise.all(processes.map(isRunning))).filter(Boolean).length;
}

async function runDirectories(): Promise<readonly string[]> {
  return (await readdir('/dev/shm')).filter((name) => name.startsWith(`workcell-${process.getuid?.()}-${holder.pid}.`));
}

it('a host that is killed leaves only the guests that survive it', async () => {
  expect(processes).toHaveLength(6);
  await eventually(async () => (await alive()) === 4);
});

it('a guest is adopted with all that is in it, but for what its old clients had started', async () => {
  await using driver = await openDriver();
  using deadline = new Deadline('Adopting', 120_000);
  const [record] = records;
  if (record === undefined) throw new Error('The holder gave no record');
  const guest = await driver.adopt(record, deadline);
  if (guest === undefined) throw new Error('The guest was not adopted');
  expect(guest).toMatchObject({ boot: 'restored', record });
  const client = await GuestClient.connect(guest);
  await client.until(({ type }) => type === 'core.ready');
  expect(client.messages[0]).toMatchObject({ id: 0, type: 'core.ready' });
  expect(await client.shell('cat /tmp/kept /workspace/hello')).toMatchObject({ stdout: 'kept\nof the workspace' });
  expect((await client.shell('kill -0 $(cat /tmp/pid)')).code).not.toBe(0);
  expect(await client.program('export default 1 + 1')).toBe(2);
  using egress = await guest
    .connectEgress?.(deadline)
    .then((stream) => ({ stream, [Symbol.dispose]: () => void stream.destroy() }));
  expect(egress).toBeDefined();

  await using another = await openDriver();
  expect(await another.adopt(record, deadline)).toBeUndefined();
  expect(await client.shell('echo still ours')).toMatchObject({ stdout: 'still ours\n' });

  expect((await guest.metrics()).residentBytes).toBeGreaterThan(0);
  await guest.stop(0);
  expect(await guest.exited).toMatchObject({ unexpected: false });
  expect(await alive()).toBe(2);
  expect(await driver.adopt(record, deadline)).toBeUndefined();
});

it('a new process leaves a guest alone that may still be adopted, and clears it when it has died', async () => {
  const [, record] = records;
  if (record === undefined) throw new Error('The holder gave no second record');
  const { machine, folder: guestFolder } = record.data as { machine: { pid: number }; folder: string };
  await using driver = await openDriver();
  await using _first = await bootGuest(driver, guestSpec([]));
  expect(await alive()).toBe(2);
  expect(await runDirectories()).toHaveLength(1);

  process.kill(machine.pid, 'SIGKILL');
  await eventually(async () => !(await isRunning(machine.pid)));
  using deadline = new Deadline('Adopting', 120_000);
  expect(await driver.adopt(record, deadline)).toBeUndefined();
  expect(await readFile(join(guestFolder, 'guest.json')).catch(() => 'gone')).toBe('gone');
  expect(await alive()).toBe(0);
  await using next = await openDriver();
  await using _second = await bootGuest(next, guestSpec([]));
  expect(await runDirectories()).toEqual([]);
});
