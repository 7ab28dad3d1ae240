import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { seedServers } from '../../../src/workcell/seed-servers.ts';
import { tempFolder } from '../../support/temp-folder.ts';

test('the runtime of wrappers is the one of this version, and changed tools stay as they are', async () => {
  await using folder = await tempFolder();
  const at = (path: string) => join(folder.path, 'servers', path);
  await seedServers(at(''));
  const shipped = await Promise.all(['runtime.ts', 'runtime.py'].map((file) => readFile(at(file), 'utf8')));
  for (const file of ['runtime.ts', 'runtime.py', 'calculator/manifest.json']) await writeFile(at(file), 'mine');
  await seedServers(at(''));
  expect(await Promise.all(['runtime.ts', 'runtime.py'].map((file) => readFile(at(file), 'utf8')))).toEqual(shipped);
  expect(shipped).toEqual([expect.stringContaining('callTool'), expect.stringContaining('call_tool')]);
  expect(await readFile(at('calculator/manifest.json'), 'utf8')).toBe('mine');
});
