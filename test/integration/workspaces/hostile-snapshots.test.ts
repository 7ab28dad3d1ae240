import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseCustomerId } from '../../../src/core/ids.ts';
import { SnapshotStore } from '../../../src/workspaces/snapshot-store.ts';
import { WorkspaceStore } from '../../../src/workspaces/workspace-store.ts';
import { runForEver } from '../../support/run-for-ever.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const RESTORER = fileURLToPath(new URL('./restorer.ts', import.meta.url));
const TIB = 1024 ** 4;

async function makeWorkspace() {
  const folder = await tempFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const workspace = await new WorkspaceStore({ root: folder.path }).open(parseCustomerId('acme'));
  const snapshots = new SnapshotStore(workspace, { maxSnapshots: 30 });
  return { root: folder.path, workspace, snapshots, files: workspace.filesPath };
}

describe('a snapshot of what a guest has made', () => {
  test('leaves out what lies too deep to be brought back, says so, and brings back the rest', async () => {
    const { files, snapshots } = await makeWorkspace();
    await mkdir(join(files, 'd/'.repeat(300)), { recursive: true });
    await writeFile(join(files, 'd/'.repeat(300), 'f'), 'too deep');
    await mkdir(join(files, 'd/'.repeat(100), 'e'), { recursive: true });
    await writeFile(join(files, 'd/'.repeat(100), 'f'), 'deep');
    await writeFile(join(files, 'f'), 'flat');
    const { id, skipped } = await snapshots.create();
    expect(skipped).toBe(1);
    await rm(join(files, 'd'), { recursive: true });
    await snapshots.restore(id);
    expect(await readFile(join(files, 'd/'.repeat(100), 'f'), 'utf8')).toBe('deep');
    expect(await readdir(join(files, 'd/'.repeat(100)))).toEqual(['d', 'e', 'f']);
  });

  test('does not take a name that is no text for the one that it is shown as', async () => {
    const { files, snapshots } = await makeWorkspace();
    for (const name of [Buffer.from([0xff]), Buffer.from('\ufffd'), Buffer.from([0xfe])])
      await writeFile(Buffer.concat([Buffer.from(`${files}/`), name]), name);
    const { id, files: count, skipped } = await snapshots.create();
    expect([count, skipped]).toEqual([1, 2]);
    await snapshots.restore(id);
    expect(await readdir(files)).toEqual(['\ufffd']);
    expect(await readFile(join(files, '\ufffd'), 'utf8')).toBe('\ufffd');
  });

  test('is made while files are cut and written again', async () => {
    const { files, snapshots } = await makeWorkspace();
    await runForEver("fs.writeFileSync('f', 'x'.repeat(i % 2 ? 300_000 : 10))", files);
    for (let i = 0; i < 20; i++) expect(await snapshots.create()).toMatchObject({ skipped: 0 });
  });

  test('is made while folders go away, come back, and are files for a moment', async () => {
    const { files, snapshots } = await makeWorkspace();
    const step = `
      fs.mkdirSync('d/e', { recursive: true }); fs.writeFileSync('d/e/f', 'x');
      fs.rmSync('d', { recursive: true }); fs.writeFileSync('d', 'x'); fs.rmSync('d')`;
    await runForEver(step, files);
    for (let i = 0; i < 20; i++) expect(await snapshots.create()).toMatchObject({ links: 0 });
  });

  test('takes no more room and time than there is in a file full of holes', async () => {
    const { root, files, snapshots } = await makeWorkspace();
    await using file = await open(join(files, 'holes'), 'w');
    await file.write('begin');
    await file.write('end', 4 * TIB - 3);
    const before = await snapshots.create();
    const again = await snapshots.create();
    await truncate(join(files, 'holes'), 1);
    await snapshots.delete(before.id);
    await snapshots.restore(again.id);
    expect(again.bytes).toBe(4 * TIB);
    expect((await stat(join(files, 'holes'))).size).toBe(4 * TIB);
    expect(execFileSync('tail', ['-c', '5', join(files, 'holes')]).toString()).toBe('\0\0end');
    expect(Number(execFileSync('du', ['-s', '-k', root]).toString().split('\t')[0])).toBeLessThan(1024);
  });

  test('brings back a folder that is closed to its own owner, also where that is no root', async () => {
    const { root, files, snapshots } = await makeWorkspace();
    await mkdir(join(files, 'closed'));
    await writeFile(join(files, 'closed/f'), 'kept');
    await chmod(join(files, 'closed'), 0o555);
    const { id } = await snapshots.create();
    // Nobody: a user who may not do what modes forbid.
    const [uid, gid] = process.geteuid?.() === 0 ? [65_534, 65_534] : [process.getuid?.(), process.getgid?.()];
    if (uid === 65_534) execFileSync('chown', ['-R', `${uid}:${gid}`, root]);
    const child = spawn(process.execPath, [RESTORER, root, 'acme', id], {
      uid,
      gid,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect((await stat(join(files, 'closed'))).mode & 0o777).toBe(0o555);
    expect(await readFile(join(files, 'closed/f'), 'utf8')).toBe('kept');
  });
});
