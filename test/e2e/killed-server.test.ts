// A server is killed by SIGKILL, which no process can see coming, and another one comes in its place.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Page, SandboxResponse } from '../../src/protocol/rest.ts';
import { guestFolders, runFolders } from '../support/hostile-guest.ts';
import { descendants, descendantsNamed, eventually, isRunning } from '../support/processes.ts';
import { sandboxSpec } from '../support/sandbox-server.ts';
import { openStateServer, type StateServer } from '../support/state-server.ts';
import { tempFolder } from '../support/temp-folder.ts';

let stack: AsyncDisposableStack;
let folder: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  folder = stack.use(await tempFolder()).path;
});

afterEach(() => stack[Symbol.asyncDispose]());

async function serve(): Promise<StateServer> {
  return stack.use(await openStateServer(folder));
}

async function list(server: StateServer): Promise<readonly SandboxResponse[]> {
  return ((await server.call('GET', '')) as Page<SandboxResponse>).data;
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Living processes that name a run folder of this server in their command lines, and mounts below one. */
async function leftovers(pid: number): Promise<readonly string[]> {
  const mark = `/dev/shm/workcell-${process.getuid?.()}-${pid}.`;
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(mark));
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(
    processes.map(async (each) => `${each} ${await readFile(`/proc/${each}/cmdline`, 'latin1').catch(() => '')}`),
  );
  return [...(await runFolders(pid)), ...mounts, ...commands.filter((command) => command.includes(mark))];
}

it('the guests of a server that is killed run on, and are those of the next one', async () => {
  const first = await serve();
  const sandbox = await first.start('kept');
  const machines = await descendants(first.pid);
  expect(machines.length).toBeGreaterThan(0);
  const file = join(folder, 'state/sandboxes', `${sandbox.id}.json`);
  await eventually(async () => (await readFile(file, 'utf8')).includes('"running"'));
  await first.kill();
  const second = await serve();
  expect(await list(second)).toMatchObject([{ id: sandbox.id, status: 'running', started_at: sandbox.started_at }]);

  // A guest that does not move any more holds nothing up either.
  for (const pid of machines) process.kill(pid, 'SIGSTOP');
  const began = performance.now();
  expect(await list(second)).toMatchObject([{ status: 'running' }]);
  // Less than what the server gives a guest to answer or to end.
  expect(performance.now() - began).toBeLessThan(12_000);
  expect(await second.call('POST', `/${sandbox.id}/stop`)).toMatchObject({ status: 'stopped' });
  await eventually(async () => !(await Promise.all(machines.map(isRunning))).includes(true));
});

type Seen = (server: StateServer) => Promise<boolean>;
const inFolder =
  (name: string): Seen =>
  async ({ pid }) => {
    const [guest] = await guestFolders(pid).catch(() => []);
    return guest !== undefined && (await exists(join(guest, name)));
  };
const runs =
  (name: string): Seen =>
  async ({ pid }) =>
    (await descendantsNamed(name, pid)).length > 0;
const isControlled = inFolder('qmp.sock');

const instants: readonly (readonly [string, readonly Seen[]])[] = [
  ['its folder is there', [inFolder('')]],
  ['its view is being mounted', [inFolder('view')]],
  ['its file server runs', [runs('virtiofsd')]],
  ['its machine runs', [runs('qemu-system-x86_64')]],
  ['its machine has its state', [isControlled, async (server) => !(await isControlled(server))]],
  ['it is written down whose it is', [inFolder('guest.json')]],
];

it.each(instants)('nothing is left of a guest whose server is killed when %s', async (_instant, conditions) => {
  const first = await serve();
  // The answer never comes.
  first.call('POST', '?start=true', sandboxSpec('lost')).catch(() => {});
  for (const condition of conditions) await eventually(() => condition(first));
  await first.kill();
  const second = await serve();
  const [lost] = await list(second);
  expect(lost).toMatchObject({ name: 'lost', status: expect.stringMatching(/^(failed|running)$/) });
  await second.call('DELETE', `/${lost?.id}`);
  await second.start('next');
  expect(await leftovers(first.pid)).toEqual([]);
});
