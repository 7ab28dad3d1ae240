import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseCustomerId } from '../../../src/core/ids.ts';
import { SnapshotStore } from '../../../src/workspaces/snapshot-store.ts';
import { WorkspaceStore } from '../../../src/workspaces/workspace-store.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { fillTree, treeOf } from '../../support/tree-of.ts';

const RESTORER = fileURLToPath(new URL('./restorer.ts', import.meta.url));

async function makeWorkspace() {
  const folder = await tempFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const store = new WorkspaceStore({ root: folder.path });
  const customer = parseCustomerId('acme');
  const workspace = await store.open(customer);
  const snapshots = new SnapshotStore(workspace, { maxSnapshots: 3 });
  return { root: folder.path, store, customer, workspace, snapshots, files: workspace.filesPath };
}

describe('snapshots', () => {
  test('bring back exactly what was there: contents, modes, times, links and empty folders', async () => {
    const { snapshots, files } = await makeWorkspace();
    await fillTree(files);
    const before = await treeOf(files);
    const info = await snapshots.create({ name: 'first' });
    expect(info).toMatchObject({ name: 'first', files: 3, folders: 2, links: 1, bytes: 15, skipped: 0 });
    await rm(join(files, 'a'), { recursive: true });
    await writeFile(join(files, 'a'), 'a file now');
    await writeFile(join(files, 'run'), 'changed in place');
    await mkdir(join(files, 'later'));
    await snapshots.restore(info.id);
    expect(await treeOf(files)).toEqual(before);
    // Writing in place changes the live file and no snapshot.
    await writeFile(join(files, 'a/one'), 'ONE');
    await snapshots.restore(info.id);
    expect(await treeOf(files)).toEqual(before);
  });

  test('keep each content once, read nothing again that has not changed, and forget what nobody has', async () => {
    const { snapshots, files } = await makeWorkspace();
    await fillTree(files);
    // Versions of what has just been written are not relied on.
    await new Promise((resolve) => setTimeout(resolve, 30));
    const first = await snapshots.create();
    const objects = () =>
      readdir(join(files, '../.snapshots/objects'), { recursive: true }).then((all) =>
        all.filter((name) => name.length > 60),
      );
    if (first.storage === 'objects') expect(await objects()).toHaveLength(2);
    await writeFile(join(files, 'new'), 'new');
    const second = await snapshots.create();
    expect((await snapshots.list()).map(({ id }) => id)).toEqual([first.id, second.id]);
    await snapshots.delete(first.id);
    await snapshots.restore(second.id);
    expect(await readFile(join(files, 'run'), 'utf8')).toBe('#!/bin/sh');
    await snapshots.delete(second.id);
    if (first.storage === 'objects') expect(await objects()).toEqual([]);
    await expect(snapshots.restore(second.id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(snapshots.delete('../files')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('there may be as many as allowed, and not one more', async () => {
    const { snapshots } = await makeWorkspace();
    for (let i = 0; i < 3; i++) await snapshots.create();
    await expect(snapshots.create()).rejects.toMatchObject({ code: 'quota_exceeded' });
  });

  test('are restored by nobody while others use the workspace', async () => {
    const { snapshots, workspace } = await makeWorkspace();
    const { id } = await snapshots.create();
    await using _share = await workspace.tenure.share();
    await expect(snapshots.restore(id)).rejects.toMatchObject({ code: 'busy' });
  });

  test('a restore that is killed at any moment leaves the old files or the new ones', async () => {
    const { snapshots, files, root, workspace } = await makeWorkspace();
    for (let i = 0; i < 150; i++) await workspace.files.writeFile(`f${i}`, 'new', { sync: false });
    const { id } = await snapshots.create();
    const outcomes = new Set<string>();
    let lastsMs = Infinity;
    // The first is not killed, and tells how long one lasts.
    for (let round = -1; round < 12; round++) {
      await rm(files, { recursive: true });
      await mkdir(files);
      for (let i = 50; i < 200; i++) await writeFile(join(files, `f${i}`), 'old');
      const child = spawn(process.execPath, [RESTORER, root, 'acme', id], { stdio: ['ignore', 'pipe', 'inherit'] });
      onTestFinished(() => void child.kill('SIGKILL'));
      const ended = new Promise((resolve) => child.once('exit', resolve));
      await new Promise((resolve) => child.stdout.once('data', resolve));
      const began = performance.now();
      if (round >= 0) setTimeout(() => child.kill('SIGKILL'), (round / 10) * lastsMs);
      await ended;
      if (round < 0) lastsMs = performance.now() - began;
      await (await workspace.tenure.share())[Symbol.asyncDispose]();
      const contents = await Promise.all((await readdir(files)).map((name) => readFile(join(files, name), 'utf8')));
      const distinct = [...new Set(contents)];
      expect([distinct.length, contents.length]).toEqual([1, 150]);
      outcomes.add(distinct[0] ?? '');
      expect((await readdir(join(root, 'acme'))).filter((name) => name.startsWith('.replacing'))).toEqual([]);
    }
    expect([...outcomes].sort()).toEqual(['new', 'old']);
  });
});
