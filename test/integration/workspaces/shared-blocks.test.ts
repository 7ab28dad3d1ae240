import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, type TestContext, test } from 'vitest';
import { parseCustomerId } from '../../../src/core/ids.ts';
import { hostCommand } from '../../../src/util/host-command.ts';
import { SnapshotStore } from '../../../src/workspaces/snapshot-store.ts';
import { WorkspaceStore } from '../../../src/workspaces/workspace-store.ts';
import { mountFileSystem, SHARING } from '../../support/file-system-image.ts';
import { fillTree, treeOf } from '../../support/tree-of.ts';

const RESTORER = fileURLToPath(new URL('./restorer.ts', import.meta.url));
const MIB = 1024 ** 2;
const BIG = 200 * MIB;

/** Ends the test, with the reason, where the file system cannot be had. */
async function makeWorkspace(kind: (typeof SHARING)[number], { skip }: TestContext) {
  const mounted = await mountFileSystem(kind);
  if (typeof mounted === 'string') return skip(`not on this host: ${mounted}`);
  onTestFinished(() => mounted[Symbol.asyncDispose]());
  const workspace = await new WorkspaceStore({ root: mounted.path }).open(parseCustomerId('acme'));
  const snapshots = new SnapshotStore(workspace, { maxSnapshots: 5 });
  return { root: mounted.path, workspace, snapshots, files: workspace.filesPath };
}

async function writeBig(path: string): Promise<void> {
  await using file = await open(path, 'w');
  for (let at = 0; at < BIG; at += MIB) await file.write(Buffer.alloc(MIB, at / MIB + 1));
  await file.sync();
}

/** What is taken of the file system, with everything written. */
async function usedMib(path: string): Promise<number> {
  execFileSync('sync', ['-f', path]);
  const { blocks, bfree, bsize } = await statfs(path);
  return ((blocks - bfree) * bsize) / MIB;
}

/** What the kernel says of the blocks of a file. */
const sharesBlocks = async (path: string) =>
  /\bshared\b/.test(await hostCommand('filefrag', ['-v', path], { package: 'e2fsprogs' }));

describe.each(SHARING)('snapshots on %s', (kind) => {
  test('share the blocks of the live files, also after they were restored', async (context) => {
    const { root, files, snapshots } = await makeWorkspace(kind, context);
    const live = join(files, 'big');
    await writeBig(live);
    expect(await sharesBlocks(live)).toBe(false);
    const before = await usedMib(root);
    const { id, storage, bytes } = await snapshots.create();
    expect([storage, bytes]).toEqual(['shared', BIG]);
    expect(await sharesBlocks(live)).toBe(true);
    expect((await usedMib(root)) - before).toBeLessThan(8);
    await rm(live);
    expect((await usedMib(root)) - before).toBeGreaterThan(-8);
    await snapshots.restore(id);
    expect(await sharesBlocks(live)).toBe(true);
    expect((await usedMib(root)) - before).toBeLessThan(8);
    await snapshots.delete(id);
    await rm(live);
    // XFS and btrfs free in the background what nobody has any more.
    await expect.poll(() => usedMib(root), { timeout: 30_000 }).toBeLessThan(before - 190);
  }, 60_000);

  test('bring back exactly what was there, whatever became of the live files and of other snapshots', async (context) => {
    const { files, snapshots } = await makeWorkspace(kind, context);
    await fillTree(files);
    const before = await treeOf(files);
    const first = await snapshots.create();
    const second = await snapshots.create();
    // In place: a block that is shared is copied before it is written.
    await writeFile(join(files, 'run'), 'changed in place', { flag: 'r+' });
    await rm(join(files, 'a'), { recursive: true });
    const third = await snapshots.create();
    for (const { id } of [first, second]) {
      await snapshots.restore(id);
      expect(await treeOf(files)).toEqual(before);
      await snapshots.delete(id);
    }
    await snapshots.restore(third.id);
    expect(await readFile(join(files, 'run'), 'utf8')).toBe('changed in place');
    expect(await readdir(files)).toEqual(['run']);
    expect((await snapshots.list()).map(({ id }) => id)).toEqual([third.id]);
  });

  test('a restore that is killed leaves the old files or the new ones', async (context) => {
    const { root, files, snapshots, workspace } = await makeWorkspace(kind, context);
    const fill = async (content: string) => {
      for (let i = 0; i < 100; i++) await writeFile(join(files, `f${i}`), content);
    };
    await fill('new');
    const { id } = await snapshots.create();
    for (const delayMs of [5, 40, 80]) {
      await fill('old');
      const child = spawn(process.execPath, [RESTORER, root, 'acme', id], { stdio: ['ignore', 'pipe', 'inherit'] });
      onTestFinished(() => void child.kill('SIGKILL'));
      const ended = once(child, 'exit');
      await once(child.stdout, 'data');
      setTimeout(() => child.kill('SIGKILL'), delayMs);
      await ended;
      await (await workspace.tenure.share())[Symbol.asyncDispose]();
      const contents = await Promise.all((await readdir(files)).map((name) => readFile(join(files, name), 'utf8')));
      expect([new Set(contents).size, contents.length]).toEqual([1, 100]);
    }
  }, 30_000);
});
