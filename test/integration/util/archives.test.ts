import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Header, Pax } from 'tar';
import { describe, expect, test } from 'vitest';
import { GatedFiles } from '../../../src/util/gated-files.ts';
import { packTree, type Skipped } from '../../../src/util/pack-tree.ts';
import { tarEnd, tarFile, tarHeader } from '../../../src/util/tar-writer.ts';
import { unpackTree } from '../../../src/util/unpack-tree.ts';
import { runForEver } from '../../support/run-for-ever.ts';
import { temporaryFolder } from './temporary-folder.ts';

const LIMITS = { bytes: 1_000_000, entries: 100 };
const AT = new Date('2026-01-02T03:04:05Z');

interface Place {
  readonly files: GatedFiles;
  readonly path: string;
}

async function makePlace(): Promise<Place> {
  const root = await temporaryFolder();
  await mkdir(join(root, 'tree'));
  await writeFile(join(root, 'secret'), 'secret');
  return { files: new GatedFiles(root, ['tree']), path: join(root, 'tree') };
}

async function pack(files: GatedFiles, onSkipped?: (skipped: Skipped) => void): Promise<Buffer> {
  const pieces = await Array.fromAsync(packTree(files, '', { onSkipped }));
  return Buffer.concat([...pieces, tarEnd()]);
}

/** Bytes in pieces whose borders fall into headers and contents. */
async function* inPieces(bytes: Buffer, size = 300): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const unpack = (files: GatedFiles, archive: Buffer, limits = LIMITS) =>
  unpackTree(files, 'in', inPieces(archive), { limits });

/** A header as nobody writes it by accident. */
function forge(facts: ConstructorParameters<typeof Header>[0] & object): Buffer {
  const block = Buffer.alloc(512);
  new Header({ mode: 0o644, size: 0, mtime: AT, ...facts }).encode(block);
  return block;
}

describe('archives of trees', () => {
  test('what GNU tar unpacks is what was packed: contents, modes, times, long names, links and empty folders', async () => {
    const { files, path } = await makePlace();
    const long = `${'d'.repeat(120)}/${'é'.repeat(60)}.txt`;
    await files.writeFile(long, 'long');
    await files.writeFile('bin/run', '#!/bin/sh', { mode: 0o755, modifiedAt: AT });
    await files.writeFile('empty', '');
    await files.makeDirectory('nothing/in/here');
    await symlink('../secret', join(path, 'out'));
    execFileSync('mkfifo', [join(path, 'pipe')]);
    const skipped: Skipped[] = [];
    const archive = await pack(files, (one) => skipped.push(one));
    const out = await temporaryFolder();
    execFileSync('tar', ['-x', '-C', out], { input: archive });
    expect(await readFile(join(out, long), 'utf8')).toBe('long');
    const run = await stat(join(out, 'bin/run'));
    expect([run.mode & 0o777, run.mtime]).toEqual([0o755, AT]);
    expect(await readlink(join(out, 'out'))).toBe('../secret');
    expect(await readdir(join(out, 'nothing/in/here'))).toEqual([]);
    expect(skipped.map((one) => one.path)).toEqual(['pipe']);
  });

  test.each(['--format=gnu', '--format=pax', '--format=ustar', '--gzip'])(
    'reads what tar %s writes',
    async (option) => {
      const { files, path } = await makePlace();
      const from = await temporaryFolder();
      const deep = option === '--format=ustar' ? 'd'.repeat(90) : 'd'.repeat(200);
      await mkdir(join(from, deep, 'sub'), { recursive: true });
      await writeFile(join(from, deep, 'a.txt'), 'a'.repeat(1_000));
      await symlink('a.txt', join(from, deep, 'near'));
      await symlink('/etc/passwd', join(from, deep, 'far'));
      const archive = execFileSync('tar', ['-c', option, '-C', from, '.']);
      const report = await unpack(files, archive);
      expect(report).toMatchObject({ files: 1, links: 1, bytes: 1_000, skipped: [{ path: `${deep}/far` }] });
      expect(await readFile(join(path, 'in', deep, 'near'), 'utf8')).toBe('a'.repeat(1_000));
      expect(await readdir(join(path, 'in', deep))).toEqual(['a.txt', 'near', 'sub']);
    },
  );

  test.each<[string, Buffer, RegExp]>([
    ['an absolute path', tarFile('/tmp/evil', 'x', AT), /"\/tmp\/evil": its path is absolute/],
    ['a path that leaves', tarFile('a/../../evil', 'x', AT), /"a\/\.\.\/\.\.\/evil": ".." is not a name/],
    ['a hard link', forge({ path: 'hard', type: 'Link', linkpath: '../secret' }), /"hard": it is a hard link/],
    ['a device', forge({ path: 'null', type: 'CharacterDevice' }), /"null": it is a device/],
    ['a pipe', forge({ path: 'fifo', type: 'FIFO' }), /"fifo": it is a named pipe/],
    ['a sparse file', forge({ path: 'holes', type: 'SparseFile', size: 512 }), /"holes": it is a sparse file/],
    ['a name twice', Buffer.concat([tarFile('a', '1', AT), tarFile('a', '2', AT)]), /"a": it is there a second time/],
    [
      'a link and a file through it',
      Buffer.concat([
        tarHeader({ path: 'l', type: 'link', mode: 0o777, modifiedAt: AT, target: 'x' }),
        tarFile('l/evil', 'x', AT),
      ]),
      /"l\/evil": .*a symbolic link/,
    ],
    ['a file beyond the bytes', forge({ path: 'big', type: 'File', size: 1_000_001 }), /"big": with it there are more/],
    [
      'a size that only the extended header tells',
      Buffer.concat([new Pax({ path: 'big', size: 2_000_000 }).encode(), forge({ path: 'big', type: 'File' })]),
      /"big": with it there are more/,
    ],
    [
      'an extended header without end',
      Buffer.concat([forge({ path: 'p', type: 'ExtendedHeader', size: 10_000_000 })]),
      /"p": its headers are more/,
    ],
    [
      'a record that is not as long as it says',
      Buffer.concat([
        forge({ path: 'p', type: 'ExtendedHeader', size: 12 }),
        Buffer.from('99 path=abc\n'.padEnd(512, '\0')),
      ]),
      /"p": its extended header is damaged/,
    ],
    [
      'a file that ends early',
      forge({ path: 'cut', type: 'File', size: 900 }),
      /"cut": the archive ends in the middle/,
    ],
  ])('refuses %s, and nothing appears outside', async (_what, start, message) => {
    const { files, path } = await makePlace();
    const archive = message.source.includes('ends in') ? start : Buffer.concat([start, tarEnd()]);
    await expect(unpack(files, archive)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(message),
    });
    expect(await readdir(join(path, '..'))).toEqual(['secret', 'tree']);
    expect(await readdir(path)).toEqual(['in']);
  });

  test('what could not be unpacked again is left out and told, and the rest of the archive is good', async () => {
    const { files, path } = await makePlace();
    await mkdir(join(path, 'd/'.repeat(200)), { recursive: true });
    for (const name of [Buffer.from([0xff]), Buffer.from('\ufffd')])
      await writeFile(Buffer.concat([Buffer.from(`${path}/`), name]), name);
    const skipped: Skipped[] = [];
    const copy = await makePlace();
    const unpacked = await unpack(copy.files, await pack(files, (one) => skipped.push(one)), {
      bytes: 100,
      entries: 200,
    });
    expect(unpacked).toMatchObject({ files: 1, bytes: 3 });
    expect(skipped.map(({ reason }) => reason).sort()).toEqual([
      'it is nested too deep, or its path is too long',
      'its name is not valid UTF-8',
    ]);
  });

  test('a tree is packed while files in it are cut, written again, and are folders for a moment', async () => {
    const { files, path } = await makePlace();
    const step = `
      fs.writeFileSync('f', 'x'.repeat(i % 2 ? 300_000 : 10));
      fs.mkdirSync('d/e', { recursive: true }); fs.rmSync('d', { recursive: true }); fs.writeFileSync('d', 'x'); fs.rmSync('d')`;
    await runForEver(step, path);
    for (let i = 0; i < 50; i++) {
      const archive = await pack(files);
      const names = execFileSync('tar', ['-t'], { input: archive, encoding: 'utf8' }).split('\n');
      expect(names).toContain('f');
    }
  });

  test('takes as many bytes and entries as allowed, and not one more', async () => {
    const archive = Buffer.concat([tarFile('a', '12345', AT), tarFile('b', '12345', AT), tarEnd()]);
    const attempt = async (bytes: number, entries: number) =>
      (await unpack((await makePlace()).files, archive, { bytes, entries })).bytes;
    expect(await attempt(10, 2)).toBe(10);
    await expect(attempt(9, 2)).rejects.toThrow('"b": with it there are more than the 9 B allowed');
    await expect(attempt(10, 1)).rejects.toThrow('it has more than the 1 entries allowed');
  });

  test('a compressed archive that grows without end is cut off by its bytes', async () => {
    const zeros = (name: string, size: number) =>
      Buffer.concat([forge({ path: name, type: 'File', size }), Buffer.alloc(Math.ceil(size / 512) * 512)]);
    const bomb = gzipSync(Buffer.concat([zeros('fits', 999_999), zeros('over', 2), zeros('more', 50_000_000)]));
    expect(bomb.length).toBeLessThan(100_000);
    const { files } = await makePlace();
    await expect(unpack(files, bomb)).rejects.toThrow('"over": with it there are more than the');
  });

  test('text that is no archive, and damaged compression, are refused', async () => {
    const { files } = await makePlace();
    await expect(unpack(files, Buffer.alloc(2_000, 'x'))).rejects.toThrow('wrong checksum');
    await expect(unpack(files, Buffer.from('short'))).rejects.toThrow('ends in the middle');
    const gzip = gzipSync(tarFile('a', 'x'.repeat(5_000), AT));
    await expect(unpack(files, gzip.fill(0, 20, 30))).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});
