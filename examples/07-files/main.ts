/** Files of the host through the official filesystem server: the program has no path to them but its tools. */

import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freshCustomer, microvmOf, openCell, SHARED } from '../support.ts';

const FOLDER = join(SHARED, 'example-07-files');

const PROGRAM = `
import { existsSync } from 'node:fs';
import { createDirectory, editFile, listDirectory, readTextFile, writeFile } from 'servers/filesystem';

const folder = 'example-07-files';
await createDirectory({ path: folder });
await writeFile({ path: folder + '/menu.txt', content: 'soup 4\\nbread 2\\n' });
await writeFile({ path: folder + '/notes.txt', content: 'closed on Mondays\\n' });
const listing = await listDirectory({ path: folder });
const before = await readTextFile({ path: folder + '/menu.txt' });
const edit = await editFile({ path: folder + '/menu.txt', edits: [{ oldText: 'soup 4', newText: 'soup 5' }] });
return { listing: listing.content, before: before.content, diff: edit.content, mounted: existsSync(folder) };
`;

await using cell = await openCell();
const customer = await freshCustomer(cell, 'example-07-files');
await rm(FOLDER, { recursive: true, force: true });
try {
  const result = await customer.execute({ code: PROGRAM });
  microvmOf(result);
  const { listing, before, diff, mounted } = result.value as Record<string, string>;
  const menu = await readFile(join(FOLDER, 'menu.txt'), 'utf8');
  const notes = await readFile(join(FOLDER, 'notes.txt'), 'utf8');
  const changes = (diff ?? '').split('\n').filter((line) => /^[-+](?![-+])/.test(line));

  console.log('Listed by the program');
  console.log(indent(listing ?? ''));
  console.log('Edited by the program');
  console.log(indent(changes.join('\n')));
  console.log('menu.txt on the host');
  console.log(indent(menu));

  assert.deepEqual(listing?.split('\n').sort(), ['[FILE] menu.txt', '[FILE] notes.txt']);
  assert.equal(before, 'soup 4\nbread 2\n');
  assert.deepEqual(changes, ['-soup 4', '+soup 5']);
  assert.equal(menu, 'soup 5\nbread 2\n');
  assert.equal(notes, 'closed on Mondays\n');
  assert.equal(mounted, false);
  assert.equal(result.calls.length, 6);
  assert.ok(result.calls.every(({ server, ok }) => server === 'filesystem' && ok));
} finally {
  await rm(FOLDER, { recursive: true, force: true });
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, '  ');
}
