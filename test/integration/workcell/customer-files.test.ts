import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WorkcellError } from '../../../src/core/errors.ts';
import { parseCustomerId } from '../../../src/core/ids.ts';
import { tarEnd, tarFile } from '../../../src/util/tar-writer.ts';
import { CustomerFiles } from '../../../src/workcell/customer-files.ts';
import { WorkspaceStore } from '../../../src/workspaces/workspace-store.ts';
import { runForEver } from '../../support/run-for-ever.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const AT = new Date('2026-01-02T03:04:05Z');

async function makeFiles({ room = 1_000_000 }: { readonly room?: number } = {}) {
  const folder = await tempFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const store = new WorkspaceStore({ root: folder.path });
  const customer = parseCustomerId('acme');
  let left = room;
  const files = new CustomerFiles({
    open: async () => {
      const workspace = await store.open(customer);
      const share = await workspace.tenure.share();
      return { ...workspace, ...share };
    },
    find: () => store.find(customer),
    admit: async (bytes) => {
      left -= bytes;
      if (left < 0) throw new WorkcellError('quota_exceeded', 'no more');
    },
    archiveLimits: () => ({ bytes: 10_000, entries: 100 }),
  });
  return { files, path: join(folder.path, 'acme/files'), open: () => store.open(customer) };
}

const read = async (files: CustomerFiles, path: string, start?: number, end?: number) =>
  text((await files.read(path, () => (start === undefined ? undefined : { start, end: end ?? start }))).stream);

const archive = async function* (...files: readonly [string, string][]) {
  for (const [path, content] of files) yield tarFile(path, content, AT);
  yield tarEnd();
};

describe('CustomerFiles', () => {
  test('reads what it wrote, as a whole or in part, and looking makes no workspace', async () => {
    const { files } = await makeFiles();
    expect(await files.list()).toEqual({ entries: [], next: null });
    await expect(files.stat('a')).rejects.toMatchObject({ code: 'not_found' });
    await expect(files.delete('a')).rejects.toMatchObject({ code: 'not_found' });
    const entry = await files.write('/data/a.html', '0123456789');
    expect(entry).toMatchObject({ path: 'data/a.html', kind: 'file', size: 10, created: true });
    expect(entry.contentType).toBe('text/plain; charset=utf-8');
    expect(await read(files, 'data/a.html')).toBe('0123456789');
    expect(await read(files, 'data/a.html', 2, 4)).toBe('234');
    const { created: _, ...known } = entry;
    expect(await files.stat('data/a.html')).toEqual(known);
  });

  test('a listing in pages shows everything once, each folder before what it holds', async () => {
    const { files } = await makeFiles();
    for (const path of ['b/x', 'b-c', 'b/a/deep', 'a', 'c']) await files.write(path, path);
    const paths: string[] = [];
    for (let after: string | null | undefined; after !== null; ) {
      const page = await files.list({ recursive: true, limit: 2, ...(after === undefined ? {} : { after }) });
      expect(page.entries.length).toBeLessThanOrEqual(2);
      paths.push(...page.entries.map((entry) => entry.path));
      // What goes away between two pages does not confuse the rest.
      if (after === undefined) await files.delete('b/a');
      after = page.next;
    }
    expect(paths).toEqual(['a', 'b', 'b/x', 'b-c', 'c']);
    expect((await files.list({ path: 'b' })).entries.map(({ path, kind }) => [path, kind])).toEqual([['b/x', 'file']]);
    await expect(files.list({ path: 'b', after: 'c' })).rejects.toMatchObject({ code: 'invalid_argument' });
    for (const limit of [0, 1_001, 1.5])
      await expect(files.list({ limit })).rejects.toMatchObject({ code: 'invalid_argument' });
    expect((await files.list({ limit: 1_000 })).next).toBeNull();
  });

  test('a listing goes on beside folders that go away, and what no path is long enough for', async () => {
    const { files, path } = await makeFiles();
    await files.write('z', 'z');
    await mkdir(join(path, 'd/'.repeat(140)), { recursive: true });
    const deep = await files.list({ recursive: true, limit: 1_000 });
    expect([deep.entries.length, deep.entries.at(-1)?.path, deep.next]).toEqual([129, 'z', null]);
    await rm(join(path, 'd'), { recursive: true });
    await runForEver("fs.mkdirSync('d/e/f', { recursive: true }); fs.rmSync('d', { recursive: true })", path);
    for (let i = 0; i < 40; i++) {
      const { entries } = await files.list({ recursive: true });
      expect(entries.at(-1)?.path).toBe('z');
    }
  });

  test('every change gives another version, also ones in the same instant and by others', async () => {
    const { files, path } = await makeFiles();
    const versions = new Set<string | null>();
    for (let i = 0; i < 20; i++) versions.add((await files.write('f', `${i % 2}`)).version);
    for (let i = 0; i < 20; i++) {
      await writeFile(join(path, 'f'), `${i % 2}`);
      versions.add((await files.stat('f')).version);
    }
    expect(versions.size).toBe(40);
  });

  test('conditions are kept, and of many who expect the same version one wins', async () => {
    const { files } = await makeFiles();
    const failed = { code: 'precondition_failed' };
    await expect(files.write('f', 'x', { ifMatch: '*' })).rejects.toMatchObject(failed);
    const first = await files.write('f', 'one', { ifNoneMatch: '*' });
    await expect(files.write('f', 'two', { ifNoneMatch: '*' })).rejects.toMatchObject(failed);
    await expect(files.write('f', 'two', { ifMatch: ['other'] })).rejects.toMatchObject(failed);
    const ifMatch = [first.version ?? ''];
    const writers = Array.from({ length: 8 }, (_, i) => files.write('f', `writer ${i}`, { ifMatch }));
    const outcomes = await Promise.allSettled(writers);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await expect(files.delete('f', { ifMatch })).rejects.toMatchObject(failed);
    await files.delete('f', { ifMatch: '*' });
    await expect(files.stat('f')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('moves files, and not onto others when that is not wanted', async () => {
    const { files } = await makeFiles();
    await files.write('a', 'a');
    await files.write('b', 'b');
    await expect(files.move('a', 'b', { overwrite: false })).rejects.toMatchObject({ code: 'precondition_failed' });
    await Promise.all([files.move('a', 'c/d'), files.move('b', 'c/e')]);
    expect((await files.list({ recursive: true })).entries.map((entry) => entry.path)).toEqual(['c', 'c/d', 'c/e']);
    await expect(files.delete('c', { recursive: false })).rejects.toMatchObject({ code: 'invalid_state' });
  });

  test('follows no link, wherever it leads, and shows it as one', async () => {
    const { files, path } = await makeFiles();
    await files.write('inside/a', 'a');
    await symlink('inside', join(path, 'near'));
    await symlink('/etc', join(path, 'far'));
    for (const name of ['near/a', 'far/passwd', 'near', 'far'])
      await expect(files.read(name)).rejects.toMatchObject({ code: 'invalid_state' });
    await expect(files.write('far/x', 'x')).rejects.toMatchObject({ code: 'invalid_state' });
    for (const name of ['../x', 'a/../x', 'a//b'])
      await expect(files.stat(name)).rejects.toMatchObject({ code: 'invalid_argument' });
    const { entries } = await files.list({ recursive: true });
    expect(entries.map((entry) => [entry.path, entry.kind])).toEqual([
      ['far', 'link'],
      ['inside', 'folder'],
      ['inside/a', 'file'],
      ['near', 'link'],
    ]);
  });

  test('an archive is added as a whole or not at all, and comes back as it was', async () => {
    const { files } = await makeFiles();
    await files.write('in/keep', 'keep');
    await files.write('in/both', 'old');
    expect(await files.upload(archive(['both', 'new'], ['sub/more', 'more']), { path: 'in' })).toMatchObject({
      files: 2,
    });
    expect(await Promise.all(['keep', 'both', 'sub/more'].map((name) => read(files, `in/${name}`)))).toEqual([
      'keep',
      'new',
      'more',
    ]);
    const refused = [
      archive(['both', 'x'], ['../evil', 'x']),
      archive(['both', 'x'], ['keep/file', 'a file is a folder']),
    ];
    for (const one of refused) await expect(files.upload(one, { path: 'in' })).rejects.toThrow();
    expect(await read(files, 'in/both')).toBe('new');
    const copy = await makeFiles();
    await copy.files.upload(await files.download('in'));
    expect(await readFile(join(copy.path, 'sub/more'), 'utf8')).toBe('more');
    expect((await copy.files.list({ recursive: true })).entries.map((entry) => entry.path)).toEqual([
      'both',
      'keep',
      'sub',
      'sub/more',
    ]);
    await expect(files.download('in/keep')).rejects.toMatchObject({ code: 'invalid_state' });
    expect((await (await copy.open()).tree.list('.staging')).entries).toEqual([]);
  });

  test('what a killed upload left behind is gone after the next', async () => {
    const { files, open } = await makeFiles();
    const { tree } = await open();
    await tree.writeFile('.staging/99999999-1-abcdef12.aaaaaaaaaaaa/f', 'left');
    await files.upload(archive(['a', 'a']));
    expect((await tree.list('.staging')).entries).toEqual([]);
  });

  test('writing stops where the customer may have no more, and nothing of it stays', async () => {
    const { files } = await makeFiles({ room: 10 });
    await files.write('a', '1234567890');
    await expect(files.write('a', 'x')).rejects.toMatchObject({ code: 'quota_exceeded' });
    await expect(files.upload(archive(['b', 'b']))).rejects.toMatchObject({ code: 'quota_exceeded' });
    expect(await read(files, 'a')).toBe('1234567890');
    expect((await files.list()).entries).toHaveLength(1);
  });

  test('waits for nobody who has the workspace alone', async () => {
    const { files, open } = await makeFiles();
    await files.write('a', 'a');
    const workspace = await open();
    await using _lock = await workspace.tenure.take();
    await expect(files.write('a', 'b')).rejects.toMatchObject({ code: 'busy' });
    expect(await read(files, 'a')).toBe('a');
  });
});
