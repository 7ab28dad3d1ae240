import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { Ledger } from '../../../src/sandbox/ledger.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
beforeEach(async () => {
  folder = await tempFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

const open = () =>
  Ledger.open({ path: join(folder.path, 'l.jsonl'), schema: z.object({ n: z.number() }), maxEntries: 3 });
const lines = async () => (await readFile(join(folder.path, 'l.jsonl'), 'utf8')).trim().split('\n').length;

it('keeps the newest entries, in memory and over a restart, and rewrites the file when it holds twice as many', async () => {
  const ledger = await open();
  for (let n = 1; n <= 6; n++) ledger.append({ n });
  await ledger.flushed();
  expect(await lines()).toBe(6);
  expect(ledger.entries).toEqual([{ n: 4 }, { n: 5 }, { n: 6 }]);
  ledger.append({ n: 7 });
  await ledger.flushed();
  expect(await lines()).toBe(3);
  expect((await open()).entries).toEqual([{ n: 5 }, { n: 6 }, { n: 7 }]);
});

it('counts the lines of a file that it finds', async () => {
  const first = await open();
  for (let n = 1; n <= 6; n++) first.append({ n });
  await first.flushed();
  const second = await open();
  second.append({ n: 7 });
  await second.flushed();
  expect(await lines()).toBe(3);
});
