import { chmod, lstat, mkdir, readdir, readFile, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  readTextIfExists,
  rewriteFileAtomic,
  writeFileAtomic,
  writeFileIfChanged,
} from '../../../src/util/atomic-file.ts';
import { temporaryFolder } from './temporary-folder.ts';

describe('writeFileAtomic()', () => {
  test('makes a file, and the folders on the way, with the given mode', async () => {
    const folder = await temporaryFolder();
    await writeFileAtomic(join(folder, 'a/b/file'), 'text', 0o600);
    expect(await readFile(join(folder, 'a/b/file'), 'utf8')).toBe('text');
    expect((await stat(join(folder, 'a/b/file'))).mode & 0o777).toBe(0o600);
  });

  test('replaces the whole content and leaves nothing beside it', async () => {
    const folder = await temporaryFolder();
    await writeFileAtomic(join(folder, 'file'), 'a long first text');
    await writeFileAtomic(join(folder, 'file'), Buffer.from('short'));
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('short');
    expect(await readdir(folder)).toEqual(['file']);
  });

  test('shows readers one whole version at any moment', async () => {
    const path = join(await temporaryFolder(), 'file');
    const versions = ['a', 'b'].map((letter) => letter.repeat(100_000));
    await writeFileAtomic(path, versions[0] ?? '');
    const writing = (async () => {
      for (let round = 1; round <= 20; round++) await writeFileAtomic(path, versions[round % 2] ?? '');
      return 'done';
    })();
    let state: string | undefined;
    writing.then((done) => {
      state = done;
    });
    while (state === undefined) expect(versions).toContain(await readFile(path, 'utf8'));
    expect(await writing).toBe('done');
  });

  test('replaces a link instead of writing through it', async () => {
    const folder = await temporaryFolder();
    await writeFileAtomic(join(folder, 'target'), 'kept');
    await symlink('target', join(folder, 'link'));
    await writeFileAtomic(join(folder, 'link'), 'new');
    expect(await readFile(join(folder, 'target'), 'utf8')).toBe('kept');
    expect(await readFile(join(folder, 'link'), 'utf8')).toBe('new');
  });

  test('leaves no temporary file behind when it fails', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'taken'));
    await expect(writeFileAtomic(join(folder, 'taken'), 'text')).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(folder)).toEqual(['taken']);
  });
});

describe('rewriteFileAtomic()', () => {
  test('keeps the permissions of a file, and the link that leads to it', async () => {
    const folder = await temporaryFolder();
    await writeFileAtomic(join(folder, 'real'), 'before', 0o600);
    await symlink('real', join(folder, 'link'));
    await rewriteFileAtomic(join(folder, 'link'), 'after');
    expect(await readFile(join(folder, 'real'), 'utf8')).toBe('after');
    expect((await stat(join(folder, 'real'))).mode & 0o777).toBe(0o600);
    expect((await lstat(join(folder, 'link'))).isSymbolicLink()).toBe(true);
  });

  test('makes a file that is not there', async () => {
    const folder = await temporaryFolder();
    await rewriteFileAtomic(join(folder, 'new/file'), 'text');
    expect(await readFile(join(folder, 'new/file'), 'utf8')).toBe('text');
  });
});

describe('writeFileIfChanged()', () => {
  test('writes a new file and a new content, and tells when there was nothing to write', async () => {
    const path = join(await temporaryFolder(), 'file');
    expect(await writeFileIfChanged(path, 'one')).toBe(true);
    await chmod(path, 0o600);
    expect(await writeFileIfChanged(path, 'one')).toBe(false);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await writeFileIfChanged(path, 'two')).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('two');
  });
});

describe('readTextIfExists()', () => {
  test('gives the text, or undefined when there is no file', async () => {
    const folder = await temporaryFolder();
    await writeFileAtomic(join(folder, 'file'), 'text');
    expect(await readTextIfExists(join(folder, 'file'))).toBe('text');
    expect(await readTextIfExists(join(folder, 'missing'))).toBeUndefined();
  });

  test('passes on any other failure', async () => {
    await expect(readTextIfExists(await temporaryFolder())).rejects.toMatchObject({ code: 'EISDIR' });
  });
});
