import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { createWorkcell } from '../../../src/workcell/workcell.ts';
import { writeConfig } from '../../support/cell-config.ts';
import { tempFolder } from '../../support/temp-folder.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes that are in use once what nobody uses is gone. */
function used(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

test('customers of whom nothing runs do not take memory, however many there were', async () => {
  await using folder = await tempFolder();
  await using cell = await createWorkcell({ config: await writeConfig(folder.path) });
  // What is kept of each: what its tools were used for.
  const tasks = Array.from({ length: 4 }, (_, index) => ({
    text: `${index} `.repeat(8_000),
    at: '2026-01-01T00:00:00Z',
  }));
  const tool = { server: 'calculator', tool: 'evaluate', schemaHash: 'x', tasks };
  const usage = JSON.stringify({ v: 1, tools: [tool] });
  const look = async (id: string) => {
    await mkdir(join(folder.path, 'workspaces', id), { mode: 0o700 });
    await writeFile(join(folder.path, 'workspaces', id, 'usage.json'), usage);
    const customer = cell.customer(id);
    expect(await customer.toolUsage()).toHaveLength(1);
    expect(await customer.listSessions()).toEqual([]);
  };
  const MANY = 300;
  for (let index = 0; index < MANY; index++) await look(`first${index}`);
  const before = used();
  for (let index = 0; index < MANY; index++) await look(`second${index}`);
  expect(used() - before).toBeLessThan(MANY * 0.1 * usage.length);
});

test('a customer that is held keeps working after its state was dropped', async () => {
  await using folder = await tempFolder();
  await using cell = await createWorkcell({ config: await writeConfig(folder.path) });
  const held = cell.customer('held');
  await held.workspace();
  for (let index = 0; index < 2_000; index++) expect(await cell.customer(`other${index}`).listSessions()).toEqual([]);
  expect(await held.listSessions()).toEqual([]);
  expect(await held.exists()).toBe(true);
});
