import promises, { chmod, mkdir, readdir, rmdir, stat, symlink, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type CustomerId, parseCustomerId } from '../../../src/core/ids.ts';
import { WorkspaceStore } from '../../../src/workspaces/workspace-store.ts';
import { startChild } from '../util/child.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

const acme = parseCustomerId('acme');
const ACME = parseCustomerId('ACME');

async function freshStore(): Promise<{ readonly root: string; readonly store: WorkspaceStore }> {
  const root = join(await temporaryFolder(), 'deep', 'workspaces');
  return { root, store: new WorkspaceStore({ root }) };
}

describe('WorkspaceStore.open()', () => {
  test('makes the folders of a new customer, for the own user alone', async () => {
    const { root, store } = await freshStore();
    const workspace = await store.open(acme);
    expect(workspace).toMatchObject({
      customer: 'acme',
      filesPath: join(root, 'acme/files'),
      sessionsPath: join(root, 'acme/sessions'),
      usagePath: join(root, 'acme/usage.json'),
      cpuPath: join(root, 'acme/cpu.json'),
      skillsPath: join(root, 'acme/skills'),
    });
    expect(await readdir(root)).toEqual(['acme']);
    expect((await readdir(join(root, 'acme'))).sort()).toEqual(['files', 'sessions', 'skills']);
    for (const path of ['', 'acme', 'acme/files', 'acme/sessions', 'acme/skills']) {
      expect((await stat(join(root, path))).mode & 0o777).toBe(0o700);
    }
  });

  test('finds what an earlier store left, and leaves it as it is', async () => {
    const { root, store } = await freshStore();
    const first = await store.open(acme);
    await first.files.writeFile('notes/a.txt', 'kept');
    await first.skills.writeFile('greet/SKILL.md', 'kept');
    await chmod(first.filesPath, 0o750);
    const second = await new WorkspaceStore({ root }).open(acme);
    expect(String(await second.files.readFile('notes/a.txt', { maxBytes: 10 }))).toBe('kept');
    expect(String(await second.skills.readFile('greet/SKILL.md', { maxBytes: 10 }))).toBe('kept');
    expect((await stat(first.filesPath)).mode & 0o777).toBe(0o750);
  });

  test('completes a workspace whose making was cut short', async () => {
    const { store } = await freshStore();
    const { skillsPath } = await store.open(acme);
    await rmdir(skillsPath);
    await store.open(acme);
    expect((await stat(skillsPath)).isDirectory()).toBe(true);
  });

  test('refuses an id that differs from an existing one only in case, and names that one', async () => {
    const { root, store } = await freshStore();
    await store.open(acme);
    await expect(store.open(ACME)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'Cannot open the workspace of "ACME": the existing id "acme" differs from it only in case; use that one',
    });
    expect(await readdir(root)).toEqual(['acme']);
    expect((await store.open(acme)).customer).toBe('acme');
  });

  test('keeps customers of different organisations apart, and refuses twins of one', async () => {
    const { root, store } = await freshStore();
    const [ann, twin, other] = [parseCustomerId('acme.ann'), parseCustomerId('acme.Ann'), parseCustomerId('box.ann')];
    expect(await store.open(ann)).toMatchObject({ customer: ann, filesPath: join(root, 'acme.ann/files') });
    await store.open(other);
    await store.open(parseCustomerId('ann'));
    await expect(store.open(twin)).rejects.toThrow(/the existing id "acme.ann" differs from it only in case/);
    expect((await readdir(root)).sort()).toEqual(['acme.ann', 'ann', 'box.ann']);
  });

  test('makes one of two ids that differ only in case and are asked for at once', async () => {
    const { root } = await freshStore();
    for (let round = 0; round < 10; round++) {
      const lower = parseCustomerId(`customer${round}`);
      const upper = parseCustomerId(`CUSTOMER${round}`);
      // Two stores share nothing but the disk, as two processes do.
      const opened = await Promise.allSettled([
        new WorkspaceStore({ root }).open(lower),
        new WorkspaceStore({ root }).open(upper),
      ]);
      expect(opened.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected']);
    }
    expect((await readdir(root)).filter((name) => !name.startsWith('.'))).toHaveLength(10);
  });

  test('makes many workspaces at once', async () => {
    const { store } = await freshStore();
    const customers = Array.from({ length: 100 }, (_, index) => parseCustomerId(`c${index + 100}`));
    await Promise.all(customers.map((customer) => store.open(customer)));
    expect(await store.list()).toEqual(customers);
  });

  test('makes a workspace after a process that was making one was killed', async () => {
    const { root, store } = await freshStore();
    await mkdir(root, { recursive: true });
    const holder = startChild(new URL('../util/lock-holder.ts', import.meta.url), [join(root, '.lock')]);
    await new Promise((resolve) => holder.lines.once('line', resolve));
    const opening = store.open(acme);
    await holder.kill();
    expect((await opening).customer).toBe('acme');
  });

  test.each(['..', '.', 'a/b', 'a\0b', '', '-x', '.hidden', 'x'.repeat(200), 'ünïcödé'])(
    'refuses the id %j even when nobody checked it before',
    async (id) => {
      const { root, store } = await freshStore();
      const unchecked = id as CustomerId;
      await expect(store.open(unchecked)).rejects.toMatchObject({ code: 'invalid_argument' });
      await expect(store.find(unchecked)).rejects.toMatchObject({ code: 'invalid_argument' });
      await expect(stat(root)).rejects.toMatchObject({ code: 'ENOENT' });
    },
  );

  test.each(['', '/files', '/sessions', '/skills'])('refuses a link in the place of <customer>%s', async (folder) => {
    const { root, store } = await freshStore();
    const elsewhere = await temporaryFolder();
    await mkdir(join(root, 'acme'), { recursive: true });
    await rmdir(join(root, 'acme'));
    if (folder !== '') await mkdir(join(root, 'acme'));
    await symlink(elsewhere, join(root, `acme${folder}`));
    await expect(store.open(acme)).rejects.toMatchObject({
      code: 'invalid_state',
      message: expect.stringMatching(/^Cannot open the workspace of "acme": .* is a symbolic link$/),
    });
    await expect(store.find(acme)).rejects.toMatchObject({ code: 'invalid_state' });
    expect(await readdir(elsewhere)).toEqual([]);
  });

  test('works through a link that the administrator made in the place of the root', async () => {
    const { root, store } = await freshStore();
    const elsewhere = await temporaryFolder();
    await mkdir(join(root, '..'), { recursive: true });
    await symlink(elsewhere, root);
    const { files } = await store.open(acme);
    await files.writeFile('a', 'here');
    expect(await readdir(join(elsewhere, 'acme/files'))).toEqual(['a']);
  });

  test('names no host path in an error', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'file'), '');
    const failure: unknown = await new WorkspaceStore({ root: join(folder, 'file') })
      .open(acme)
      .catch((error) => error);
    expect(failure).toMatchObject({ code: expect.stringMatching(/invalid_state|storage_failed|already_exists/) });
    expect((failure as Error).message).not.toContain(folder);
  });
});

describe('WorkspaceStore.find() and list()', () => {
  test('know no one before the first is opened', async () => {
    const { root, store } = await freshStore();
    expect(await store.find(acme)).toBeUndefined();
    expect(await store.list()).toEqual([]);
    await expect(stat(root)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('find the customer who was opened, by the exact id only', async () => {
    const { store } = await freshStore();
    await store.open(acme);
    expect((await store.find(acme))?.customer).toBe('acme');
    expect(await store.find(ACME)).toBeUndefined();
    expect(await store.find(parseCustomerId('42'))).toBeUndefined();
    await store.open(parseCustomerId('42'));
    expect((await store.find(parseCustomerId('42')))?.customer).toBe('42');
  });

  test('a customer is found without a list of all', async () => {
    const { root, store } = await freshStore();
    await store.open(acme);
    const listed = vi.spyOn(promises, 'readdir');
    syncBuiltinESMExports();
    onTestFinished(() => {
      listed.mockRestore();
      syncBuiltinESMExports();
    });
    expect(await store.find(ACME)).toBeUndefined();
    expect(await store.find(acme)).toBeDefined();
    await store.open(acme);
    expect(listed).not.toHaveBeenCalledWith(root, expect.anything());
    await store.list();
    expect(listed).toHaveBeenCalledWith(root, expect.anything());
  });

  test('list the customers sorted, and nothing else that lies in the root', async () => {
    const { root, store } = await freshStore();
    for (const id of ['b', 'a-2', 'a', 'C', 'acme.ann']) await store.open(parseCustomerId(id));
    await mkdir(join(root, '.trash'));
    for (const name of ['not an id', 'a.b.c', 'default.ann']) await mkdir(join(root, name));
    await writeFile(join(root, 'file'), '');
    await symlink('a', join(root, 'link'));
    expect(await store.list()).toEqual(['C', 'a', 'a-2', 'acme.ann', 'b']);
  });
});
