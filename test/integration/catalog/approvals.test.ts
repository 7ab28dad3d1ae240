import { expect, test } from 'vitest';
import { Approvals } from '../../../src/catalog/approvals.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const tool = (name: string, description = '') => ({ tool: name, description, inputSchema: {} });

test('what several processes approve at the same time is approved', async () => {
  await using folder = await tempFolder();
  const names = Array.from({ length: 10 }, (_, i) => `t${i}`);
  const open = () => Approvals.open({ servers: folder.path, names: ['double'] });
  const all = await Promise.all(names.map(open));
  await Promise.all(all.map((approvals, i) => approvals.approve('double', [tool(`t${i}`)])));
  const after = await open();
  expect(names.filter((name) => after.find('double', name) === undefined)).toEqual([]);
});

test('only the first of those who see a server first approves it', async () => {
  await using folder = await tempFolder();
  const open = () => Approvals.open({ servers: folder.path, names: [] });
  const [one, other] = [await open(), await open()];
  await one.approveFirst('double', [tool('t', 'as it was')]);
  await other.approveFirst('double', [tool('t', 'as it became')]);
  expect(other.find('double', 't')).toBe(one.find('double', 't'));
});
