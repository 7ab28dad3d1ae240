import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { CustomerUsage } from '../../../src/workcell/customer-usage.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

const WRITER = new URL('../../support/usage-writer.ts', import.meta.url).pathname;
const served = (task: string, tool = 'a') => ({
  task,
  tools: [{ server: 's', tool, schemaHash: 'h' }],
  at: new Date('2026-01-01T00:00:00.000Z'),
});

async function freshPath(): Promise<string> {
  return join(await temporaryFolder(), 'usage.json');
}

function startWriter(...args: string[]) {
  const child = spawn(process.execPath, [WRITER, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

test('what one records, another finds, and only its owner may read the file', async () => {
  const path = await freshPath();
  const reader = new CustomerUsage(path);
  expect(await reader.memory()).toEqual([]);
  await new CustomerUsage(path).record(served('Weigh the "cat"'));
  expect(await reader.memory()).toMatchObject([{ server: 's', tool: 'a', tasks: [{ text: 'Weigh the' }] }]);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('nothing is written for a run without tools, or a task that is only values', async () => {
  const path = await freshPath();
  const usage = new CustomerUsage(path);
  await usage.record({ ...served('Weigh the cat'), tools: [] });
  await usage.record(served('"12"'));
  await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('clear() forgets everything, also what cannot be read', async () => {
  const path = await freshPath();
  const usage = new CustomerUsage(path);
  await writeFile(path, '{"v":1,"tools":[{"tool":1}]}');
  await expect(usage.memory()).rejects.toMatchObject({ code: 'storage_failed' });
  await usage.clear();
  expect(await usage.memory()).toEqual([]);
});

test('processes that record at the same time lose nothing', async () => {
  const path = await freshPath();
  const writers = ['a', 'b', 'c'].map((name) => startWriter(path, name, '10'));
  const codes = await Promise.all(writers.map(async (writer) => (await once(writer, 'exit'))[0]));
  expect(codes).toEqual([0, 0, 0]);
  const memory = await new CustomerUsage(path).memory();
  expect(memory.map(({ tool, tasks }) => [tool, tasks.length]).sort()).toEqual([
    ['a', 10],
    ['b', 10],
    ['c', 10],
  ]);
});

test('a writer that is killed leaves a file that can be read, and no lock behind', async () => {
  const path = await freshPath();
  for (let round = 0; round < 3; round++) {
    const writer = startWriter(path, 'a');
    await once(writer.stdout, 'data');
    writer.kill('SIGKILL');
    await once(writer, 'exit');
    expect((await new CustomerUsage(path).memory())[0]?.tasks.length).toBeGreaterThan(0);
    await new CustomerUsage(path).record(served('after', `round ${round}`));
  }
  expect(await new CustomerUsage(path).memory()).toHaveLength(4);
  expect((await readdir(join(path, '..'))).filter((name) => name.endsWith('.lock'))).toEqual([]);
});
