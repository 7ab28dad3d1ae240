import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, link, mkdir, mkdtemp, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WorkcellError } from '../../../src/core/errors.ts';
import { GatedFiles } from '../../../src/util/gated-files.ts';
import { PATH_LIMITS } from '../../../src/util/path-gate.ts';
import { swapForEver } from './swap-for-ever.ts';
import { temporaryFolder } from './temporary-folder.ts';

interface Tree {
  readonly files: GatedFiles;
  /** Host path of the gated folder. */
  readonly inside: string;
  /** Host path of a folder beside it, with the file `secret`. */
  readonly outside: string;
}

async function makeTree(): Promise<Tree> {
  const root = await temporaryFolder();
  const tree = {
    files: new GatedFiles(root, ['inside']),
    inside: join(root, 'inside'),
    outside: join(root, 'outside'),
  };
  await mkdir(tree.inside);
  await mkdir(tree.outside);
  await writeFile(join(tree.outside, 'secret'), 'secret');
  return tree;
}

const read = (files: GatedFiles, path: string) => files.readFile(path, { maxBytes: 1_000 }).then(String);

/** What each call was rejected with; a call that succeeds gives its value. */
async function failuresOf(calls: readonly Promise<unknown>[]): Promise<unknown[]> {
  const outcomes = await Promise.allSettled(calls);
  return outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : outcome.value));
}

describe('GatedFiles', () => {
  test('reads back what it wrote, and makes the folders on the way', async () => {
    const { files, inside } = await makeTree();
    await files.writeFile('a/b/c.txt', 'one');
    await files.writeFile('a/b/c.txt', Buffer.from('two'));
    expect(await read(files, 'a/b/c.txt')).toBe('two');
    expect(await readFile(join(inside, 'a/b/c.txt'), 'utf8')).toBe('two');
    expect(await readdir(join(inside, 'a/b'))).toEqual(['c.txt']);
  });

  test('reads an empty file and one of the largest size, and refuses one byte more', async () => {
    const { files } = await makeTree();
    await files.writeFile('empty', '');
    await files.writeFile('full', 'x'.repeat(1_000));
    await files.writeFile('over', 'x'.repeat(1_001));
    expect(await read(files, 'empty')).toBe('');
    expect(await read(files, 'full')).toHaveLength(1_000);
    await expect(read(files, 'over')).rejects.toMatchObject({
      code: 'invalid_state',
      message: 'Cannot read "over": it has more than the 1000 B allowed',
    });
  });

  test('lists a folder sorted, with what each entry is', async () => {
    const { files, inside } = await makeTree();
    await files.writeFile('b.txt', 'four');
    await files.makeDirectory('a');
    await symlink('/etc/passwd', join(inside, 'link'));
    execFileSync('mkfifo', [join(inside, 'pipe')]);
    const { entries, truncated } = await files.list('');
    expect(entries.map(({ name, kind }) => [name, kind])).toEqual([
      ['a', 'directory'],
      ['b.txt', 'file'],
      ['link', 'symlink'],
      ['pipe', 'other'],
    ]);
    expect(entries[1]).toMatchObject({ size: 4, mode: 0o644 });
    expect(truncated).toBe(false);
  });

  test('marks a listing that has more entries than asked for', async () => {
    const { files } = await makeTree();
    for (const name of ['a', 'b', 'c']) await files.writeFile(name, '');
    expect(await files.list('.', { maxEntries: 3 })).toMatchObject({ truncated: false, entries: { length: 3 } });
    expect(await files.list('.', { maxEntries: 2 })).toMatchObject({ truncated: true, entries: { length: 2 } });
  });

  test.each(['line\nbreak', 'quote"\'`$(id)', ' ', '-rf', '🦀', 'a'.repeat(255), 'back\\slash', '...', '%2e%2e'])(
    'handles a file with the name %j like any other',
    async (name) => {
      const { files } = await makeTree();
      await files.writeFile(name, 'odd');
      expect(await read(files, name)).toBe('odd');
      expect((await files.list('')).entries.map((entry) => entry.name)).toEqual([name]);
      await files.remove(name);
      expect((await files.list('')).entries).toEqual([]);
    },
  );

  test('lists and removes names that are not valid UTF-8', async () => {
    const { files, inside } = await makeTree();
    await files.makeDirectory('folder');
    await writeFile(Buffer.concat([Buffer.from(`${inside}/folder/`), Buffer.from([0xff, 0x61])]), '');
    expect((await files.list('folder')).entries.map((entry) => entry.name)).toEqual(['\ufffda']);
    await files.remove('folder');
    expect(await readdir(inside)).toEqual([]);
  });

  test('says what is missing', async () => {
    const { files } = await makeTree();
    const missing = { code: 'not_found', message: 'Cannot read "a/b": there is no such file or folder' };
    await expect(read(files, 'a/b')).rejects.toMatchObject(missing);
    for (const failure of await failuresOf([files.list('a'), files.stat('a'), files.remove('a')])) {
      expect(failure).toMatchObject({ code: 'not_found' });
    }
  });

  test('does not make its own folder again when that is gone', async () => {
    const { files, inside } = await makeTree();
    await rename(inside, `${inside}-moved`);
    await expect(files.writeFile('a/b', '')).rejects.toMatchObject({ code: 'not_found' });
    await expect(stat(inside)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('refuses to write, list or remove where something else is in the way', async () => {
    const { files } = await makeTree();
    await files.writeFile('file', 'kept');
    await files.writeFile('folder/file', 'kept');
    for (const failure of await failuresOf([
      files.writeFile('file/below', ''),
      files.writeFile('folder', ''),
      files.makeDirectory('file'),
      files.list('file'),
      files.remove('file/below'),
      read(files, 'folder'),
    ])) {
      expect(failure).toMatchObject({ code: 'invalid_state' });
    }
    for (const failure of await failuresOf([files.writeFile('', ''), files.remove('.')])) {
      expect(failure).toMatchObject({ code: 'invalid_argument' });
    }
    expect((await files.list('')).entries.map((entry) => entry.name)).toEqual(['file', 'folder']);
    expect((await files.list('folder')).entries.map((entry) => entry.name)).toEqual(['file']);
  });

  test('removes a folder with everything in it, and nothing beside it', async () => {
    const { files, inside, outside } = await makeTree();
    await files.writeFile('folder/a/b/file', '');
    await files.writeFile('beside', '');
    for (let index = 0; index < 1_500; index++) await writeFile(join(inside, 'folder', `file-${index}`), '');
    await symlink(outside, join(inside, 'folder', 'link'));
    await link(join(outside, 'secret'), join(inside, 'folder', 'hard'));
    execFileSync('mkfifo', [join(inside, 'folder', 'pipe')]);
    await files.remove('folder');
    expect(await readdir(inside)).toEqual(['beside']);
    expect(await readdir(outside)).toEqual(['secret']);
  });

  test('removes a folder that a guest closed to its owner', async () => {
    const { files, inside } = await makeTree();
    await files.writeFile('folder/inner/file', '');
    await chmod(join(inside, 'folder/inner'), 0o000);
    await chmod(join(inside, 'folder'), 0o500);
    await files.remove('folder');
    expect(await readdir(inside)).toEqual([]);
  });

  test('removes what is nested deeper than a path may be', async () => {
    const { files, inside } = await makeTree();
    const deepest = join(inside, ...Array.from({ length: PATH_LIMITS.depth }, () => 'd'));
    await mkdir(deepest, { recursive: true });
    await files.remove('d');
    expect(await readdir(inside)).toEqual([]);
    // Beyond 4,095 bytes no path names it as a whole, so it is put together from below.
    let tower = await mkdtemp(join(inside, 'tower-'));
    for (let floor = 0; floor < 40; floor++) {
      const higher = await mkdtemp(join(inside, 'tower-'));
      const top = join(higher, ...Array.from({ length: 50 }, () => 'ddd'));
      await mkdir(top, { recursive: true });
      await rename(tower, join(top, 'rest'));
      tower = higher;
    }
    await files.remove(basename(tower));
    expect(await readdir(inside)).toEqual([]);
  });
});

describe('GatedFiles against a hostile guest', () => {
  test.each([
    ['absolute', (tree: Tree) => tree.outside],
    ['relative', () => '../outside'],
  ])('follows no %s link to a folder on the way', async (_, targetOf) => {
    const tree = await makeTree();
    const { files } = tree;
    await symlink(targetOf(tree), join(tree.inside, 'link'));
    for (const failure of await failuresOf([
      read(files, 'link/secret'),
      files.stat('link/secret'),
      files.list('link'),
      files.writeFile('link/secret', 'overwritten'),
      files.writeFile('link/new/file', ''),
      files.makeDirectory('link/new'),
      files.remove('link/secret'),
    ])) {
      expect(failure).toMatchObject({
        code: 'invalid_state',
        message: expect.stringContaining('is a symbolic link'),
      });
    }
    expect(await readdir(tree.outside)).toEqual(['secret']);
    expect(await readFile(join(tree.outside, 'secret'), 'utf8')).toBe('secret');
  });

  test.each(['../outside/secret', './target', '/etc/passwd', 'link', '/proc/self/environ'])(
    'follows no link to %s at the end',
    async (target) => {
      const { files, inside } = await makeTree();
      await files.writeFile('target', 'also not read through a link');
      await symlink(target, join(inside, 'link'));
      await expect(read(files, 'link')).rejects.toMatchObject({
        code: 'invalid_state',
        message: 'Cannot read "link": it is a symbolic link, not a regular file',
      });
      expect((await files.stat('link')).kind).toBe('symlink');
    },
  );

  test('replaces and removes a link, not what it leads to', async () => {
    const { files, inside, outside } = await makeTree();
    await symlink(join(outside, 'secret'), join(inside, 'file-link'));
    await symlink(outside, join(inside, 'folder-link'));
    await files.writeFile('file-link', 'mine');
    await files.remove('folder-link');
    expect(await read(files, 'file-link')).toBe('mine');
    expect(await readdir(inside)).toEqual(['file-link']);
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('secret');
  });

  test('does not hang on a named pipe', async () => {
    const { files, inside } = await makeTree();
    execFileSync('mkfifo', [join(inside, 'pipe')]);
    await expect(read(files, 'pipe')).rejects.toMatchObject({
      code: 'invalid_state',
      message: 'Cannot read "pipe": it is a named pipe, not a regular file',
    });
    await expect(files.list('pipe')).rejects.toMatchObject({ code: 'invalid_state' });
    expect((await files.stat('pipe')).kind).toBe('other');
    await files.writeFile('pipe', 'replaced');
    expect(await read(files, 'pipe')).toBe('replaced');
  });

  test('refuses a socket and a device', async () => {
    const { files, inside } = await makeTree();
    const server = createServer().listen(join(inside, 'socket'));
    onTestFinished(async () => {
      server.close();
    });
    await once(server, 'listening');
    await expect(read(files, 'socket')).rejects.toMatchObject({ message: expect.stringContaining('is a socket') });
    const device = new GatedFiles('/dev');
    await expect(read(device, 'null')).rejects.toMatchObject({ message: expect.stringContaining('is a device') });
  });

  test.each(['../outside/secret', '/etc/passwd', 'a/../../outside/secret', 'secret\0.txt', '..'])(
    'refuses the path %j in every call',
    async (path) => {
      const { files } = await makeTree();
      for (const failure of await failuresOf([
        read(files, path),
        files.writeFile(path, ''),
        files.list(path),
        files.stat(path),
        files.makeDirectory(path),
        files.remove(path),
      ])) {
        expect(failure).toMatchObject({ code: 'invalid_argument' });
      }
    },
  );

  test('names no host path in an error', async () => {
    const { files, inside } = await makeTree();
    await symlink('/etc', join(inside, 'link'));
    for (const path of ['missing', 'missing/x', 'link', 'link/passwd', '/etc/passwd', 'a\0b', 'a'.repeat(5_000)]) {
      for (const failure of await failuresOf([read(files, path), files.list(path), files.remove(`${path}/x`)])) {
        expect(failure).toBeInstanceOf(WorkcellError);
        const { message } = failure as WorkcellError;
        expect(message).not.toContain(inside);
        expect(message).not.toContain('/proc/');
      }
    }
  });

  test('stays inside while a folder is swapped for a link out of it', async () => {
    const { files, inside, outside } = await makeTree();
    await files.writeFile('folder/secret', 'inside');
    await symlink(outside, join(inside, 'swap'));
    const stop = await swapForEver(join(inside, 'folder'), join(inside, 'swap'));
    const seen = { inside: 0, refused: 0 };
    for (let round = 0; round < 20_000 && Math.min(seen.inside, seen.refused) < 300; round++) {
      const outcomes = await Promise.allSettled([
        read(files, 'folder/secret'),
        files.writeFile('folder/written', 'written'),
        files.remove('folder/written'),
      ]);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') {
          expect(['invalid_state', 'not_found']).toContain(outcome.reason.code);
          seen.refused++;
        } else {
          expect(outcome.value).not.toBe('secret');
          seen.inside++;
        }
      }
    }
    await stop();
    expect(Math.min(seen.inside, seen.refused)).toBeGreaterThanOrEqual(300);
    expect(await readdir(outside)).toEqual(['secret']);
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('secret');
  });

  test('stays inside while a folder that is being removed is swapped for a link out of it', async () => {
    const { files, inside, outside } = await makeTree();
    await symlink(outside, join(inside, 'swap'));
    await files.makeDirectory('top/folder');
    const stop = await swapForEver(join(inside, 'top/folder'), join(inside, 'swap'));
    for (let round = 0; round < 300; round++) {
      await files.writeFile('top/folder/a', '').catch(() => {});
      await files.remove('top/folder').catch(() => {});
      await files.makeDirectory('top/folder').catch(() => {});
    }
    await stop();
    expect(await readdir(outside)).toEqual(['secret']);
  });

  test('leaves no file descriptor open, whether calls succeed or fail', async () => {
    const { files, inside } = await makeTree();
    await symlink('/etc', join(inside, 'link'));
    const before = await readdir('/proc/self/fd');
    for (let round = 0; round < 20; round++) {
      await files.writeFile('a/b/c', 'x');
      await Promise.allSettled([
        read(files, 'a/b/c'),
        read(files, 'a'),
        read(files, 'link/passwd'),
        read(files, 'a/b/c/d'),
        files.list('a'),
        files.list('missing/x'),
        files.stat('a/b'),
        files.writeFile('a/b', ''),
        files.remove('a/x'),
      ]);
      await files.remove('a');
    }
    expect((await readdir('/proc/self/fd')).length).toBeLessThanOrEqual(before.length + 2);
  });
});
