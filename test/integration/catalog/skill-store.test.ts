import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SkillShelf } from '../../../src/catalog/skill-shelf.ts';
import { type SkillContent, SkillStore } from '../../../src/catalog/skill-store.ts';
import { GatedFiles } from '../../../src/util/gated-files.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let root: string;
let store: SkillStore;

beforeEach(async () => {
  folder = await tempFolder();
  root = join(folder.path, 'skills');
  await mkdir(root);
  store = new SkillStore(new GatedFiles(root), 'own');
});

afterEach(() => folder[Symbol.asyncDispose]());

function content(name: string, code: string, file = 'index.ts'): SkillContent {
  return {
    document: `---\nname: ${name}\ndescription: Does ${code}\n---\n`,
    record: JSON.stringify({ v: 1, execution: 'exe_1', savedAt: '2026-01-01T00:00:00.000Z', tools: [] }),
    code: new Map([[file, code]]),
  };
}

/** What a guest writes: files by their paths. */
async function write(files: Readonly<Record<string, string>>, into = root): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(into, path, '..'), { recursive: true });
    await writeFile(join(into, path), text);
  }
}

const document = (name: string) => `---\nname: ${name}\ndescription: Tidies up\n---\n`;

async function problems(): Promise<Record<string, string>> {
  const { skills } = await store.list();
  return Object.fromEntries(skills.map((skill) => [skill.name, skill.status === 'broken' ? skill.problem : 'ready']));
}

describe('a skill', () => {
  test('is there as it was saved, in files that a person can read', async () => {
    await store.save('tidy', content('tidy', 'export const a = 1;\n'));
    expect(await store.find('tidy')).toMatchObject({
      status: 'ready',
      document: { name: 'tidy', description: 'Does export const a = 1;' },
      record: { execution: 'exe_1' },
      languages: ['typescript'],
    });
    expect(await store.code('tidy')).toEqual([{ path: 'tidy/index.ts', text: 'export const a = 1;\n' }]);
    expect(await readdir(root)).toEqual(['tidy']);
    expect((await readdir(join(root, 'tidy'))).sort()).toEqual(['SKILL.md', 'index.ts', 'workcell.json']);
  });

  test('is not replaced unless that is asked for', async () => {
    await store.save('tidy', content('tidy', '1'));
    await expect(store.save('tidy', content('tidy', '2'))).rejects.toMatchObject({ code: 'already_exists' });
    expect(await store.code('tidy')).toEqual([{ path: 'tidy/index.ts', text: '1' }]);
    await write({ 'tidy/notes.txt': 'mine' });
    await store.save('tidy', content('tidy', '3', '__init__.py'), { replace: true });
    expect(await store.find('tidy')).toMatchObject({ languages: ['python'] });
    expect((await readdir(join(root, 'tidy'))).sort()).toEqual([
      'SKILL.md',
      '__init__.py',
      'notes.txt',
      'workcell.json',
    ]);
  });

  test('is saved by one of those who do so at the same time', async () => {
    const saves = Array.from({ length: 8 }, (_, index) => store.save('tidy', content('tidy', String(index))));
    const outcomes = await Promise.allSettled(saves);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'already_exists' });
    const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
    expect(await store.code('tidy')).toEqual([{ path: 'tidy/index.ts', text: String(winner) }]);
    expect(await readdir(root)).toEqual(['tidy']);
  });

  test('is gone when it was removed', async () => {
    await store.save('tidy', content('tidy', '1'));
    await store.remove('tidy');
    expect(await store.find('tidy')).toBeUndefined();
    await expect(store.remove('tidy')).rejects.toMatchObject({ code: 'not_found' });
  });

  test.each(['', '..', '.', 'a/b', '../tidy', 'Tidy', '.workcell-skill-1', 'a\0b'])(
    'cannot be named %j',
    async (name) => {
      const refusal = { code: 'invalid_argument' };
      await expect(store.find(name)).rejects.toMatchObject(refusal);
      await expect(store.save(name, content('tidy', '1'))).rejects.toMatchObject(refusal);
      await expect(store.remove(name)).rejects.toMatchObject(refusal);
      expect(await readdir(root)).toEqual([]);
    },
  );
});

describe('a folder of skills that guests write to', () => {
  test('tells what is wrong with each, and still has the others', async () => {
    await write({
      'good/SKILL.md': document('good'),
      'good/index.ts': 'export {};',
      'words/SKILL.md': document('words'),
      'none/index.ts': 'export {};',
      'other/SKILL.md': document('good'),
      'yaml/SKILL.md': '---\nname: [\n---\n',
      'record/SKILL.md': document('record'),
      'record/workcell.json': '{"v":1}',
      'large/SKILL.md': document('large') + 'x'.repeat(128 * 1024),
      'Bad_Name/SKILL.md': document('Bad_Name'),
      'folder/SKILL.md/x': '',
      'not-meant.ts': 'export {};',
      '.hidden/SKILL.md': document('.hidden'),
    });
    await mkdir(Buffer.from(`${root}/bad\xff\x1b`, 'latin1'));
    expect(await problems()).toEqual({
      good: 'ready',
      words: 'ready',
      none: expect.stringContaining('has no SKILL.md'),
      other: expect.stringContaining('names itself "good"'),
      yaml: expect.stringContaining('is not YAML'),
      record: expect.stringContaining('workcell.json'),
      large: expect.stringContaining('more than the 128 KiB allowed'),
      Bad_Name: expect.stringContaining('is not a name of a skill'),
      folder: expect.stringContaining('is a folder'),
      'bad\ufffd': expect.stringContaining('is not a name of a skill'),
    });
    expect(await store.find('words')).toMatchObject({ status: 'ready', languages: [] });
  });

  test('is never left through a link', async () => {
    const outside = join(folder.path, 'outside');
    await write({ 'SKILL.md': document('linked'), 'index.ts': 'secret', 'kept.txt': 'kept' }, outside);
    await mkdir(join(root, 'inner'));
    await symlink(outside, join(root, 'linked'));
    await symlink(join(outside, 'SKILL.md'), join(root, 'inner/SKILL.md'));
    await symlink(join(outside, 'index.ts'), join(root, 'inner/index.ts'));
    await symlink(join(outside, 'index.ts'), join(root, 'flat.ts'));
    expect(await problems()).toEqual({
      linked: expect.stringContaining('is a symbolic link'),
      inner: expect.stringContaining('is a symbolic link'),
    });
    for (const name of ['linked', 'inner', 'flat']) expect(await store.code(name)).toEqual([]);
    await expect(store.load('linked/index.ts')).rejects.toMatchObject({ code: 'invalid_state' });
    await expect(store.save('linked', content('linked', '1'))).rejects.toMatchObject({ code: 'already_exists' });
    await store.save('linked', content('linked', 'mine'), { replace: true });
    await store.save('inner', content('inner', 'mine'), { replace: true });
    for (const name of ['linked', 'inner'])
      expect(await store.code(name)).toEqual([{ path: `${name}/index.ts`, text: 'mine' }]);
    expect(await readFile(join(outside, 'index.ts'), 'utf8')).toBe('secret');
    await symlink(outside, join(root, 'again'));
    await store.remove('again');
    expect((await readdir(outside)).sort()).toEqual(['SKILL.md', 'index.ts', 'kept.txt']);
  });

  test('gives nothing of what lies outside while a guest swaps a skill for a link', async () => {
    const outside = join(folder.path, 'outside');
    await write({ 'SKILL.md': document('tidy'), 'index.ts': 'secret' }, outside);
    await write({ 'tidy/SKILL.md': document('tidy'), 'tidy/index.ts': 'own' });
    let isOver = false;
    const swapping = (async () => {
      while (!isOver) {
        await rename(join(root, 'tidy'), join(folder.path, 'aside'));
        await symlink(outside, join(root, 'tidy'));
        await rm(join(root, 'tidy'));
        await rename(join(folder.path, 'aside'), join(root, 'tidy'));
      }
    })();
    const seen = new Set<string>();
    for (let round = 0; round < 300 || !seen.has('own'); round++) {
      for (const { text } of await store.code('tidy')) seen.add(text);
      await store.list();
    }
    isOver = true;
    await swapping;
    expect([...seen]).toEqual(['own']);
  });

  test('is read up to 1,000 skills, and no more than 1 MiB of a file', async () => {
    await write(
      Object.fromEntries(Array.from({ length: 1_001 }, (_, index) => [`s${index}/SKILL.md`, document(`s${index}`)])),
    );
    const { skills, truncated } = await store.list();
    expect({ length: skills.length, truncated }).toEqual({ length: 1_000, truncated: true });
    await rm(join(root, 's0'), { recursive: true });
    expect(await store.list()).toMatchObject({ skills: { length: 1_000 }, truncated: false });
    await write({ 'fits/index.ts': 'x'.repeat(1024 ** 2), 'more/index.ts': 'x'.repeat(1024 ** 2 + 1) });
    expect(await store.code('fits')).toHaveLength(1);
    expect(await store.code('more')).toEqual([]);
    await expect(store.load('more/index.ts')).rejects.toMatchObject({ code: 'invalid_state' });
  });
});

describe('a save that is killed', () => {
  test.each(['anew', 'replace'])('leaves a skill that works, or none: %s', async (mode) => {
    for (let round = 0; round < 6; round++) {
      const path = fileURLToPath(new URL('./skill-saver.ts', import.meta.url));
      const child = spawn(process.execPath, [path, root, 'tidy', mode], { stdio: ['ignore', 'pipe', 'inherit'] });
      try {
        let saved = 0;
        for await (const _ of createInterface(child.stdout)) {
          saved += 1;
          // At another place of a save each time.
          if (saved === 3) setTimeout(() => child.kill('SIGKILL'), round);
        }
        expect(saved).toBeGreaterThanOrEqual(3);
      } finally {
        if (child.exitCode === null && child.signalCode === null) {
          child.kill('SIGKILL');
          await once(child, 'close');
        }
      }
      const skill = await store.find('tidy');
      if (mode === 'replace') expect(skill).toMatchObject({ status: 'ready' });
      if (skill !== undefined) {
        expect(skill.status).toBe('ready');
        const [code] = await store.code('tidy');
        expect(code?.text).toMatch(/^export const number = \d+;\n(\/\/ filler\n){5000}$/);
      }
      if (mode === 'anew') await rm(join(root, 'tidy'), { recursive: true, force: true });
    }
  });

  test('leaves what a later save takes away when it is an hour old', async () => {
    await write({ '.workcell-skill-old/index.ts': '', '.workcell-skill-new/index.ts': '', '.other/x': '' });
    const old = new Date(Date.now() - 3_601_000);
    await utimes(join(root, '.workcell-skill-old'), old, old);
    await store.save('tidy', content('tidy', '1'));
    expect((await readdir(root)).sort()).toEqual(['.other', '.workcell-skill-new', 'tidy']);
    await expect(access(join(root, '.workcell-skill-old'))).rejects.toThrow();
  });
});

describe('a shelf', () => {
  let shared: SkillStore;
  let shelf: SkillShelf;

  beforeEach(async () => {
    const sharedRoot = join(folder.path, 'shared');
    await write(
      {
        'tidy/SKILL.md': document('tidy'),
        'tidy/index.ts': 'shared tidy',
        'tidy/help.ts': 'shared help',
        'wash/SKILL.md': document('wash'),
        'wash/index.ts': 'shared wash',
      },
      sharedRoot,
    );
    await write({ 'tidy/SKILL.md': document('tidy'), 'tidy/index.ts': 'own tidy', 'flat.ts': 'own flat' });
    shared = new SkillStore(new GatedFiles(sharedRoot), 'shared');
    shelf = new SkillShelf([store, shared]);
  });

  test('has what is the own before what is shared', async () => {
    const all = (await shelf.list()).skills.map(({ store: { scope }, skill }) => [skill.name, scope]);
    expect(all).toEqual([
      ['tidy', 'own'],
      ['wash', 'shared'],
    ]);
    expect((await shelf.find('tidy'))?.store).toBe(store);
    expect((await shelf.find('wash'))?.store).toBe(shared);
    expect(await shelf.find('none')).toBeUndefined();
  });

  test.each([
    ['tidy', undefined, 'own', 'tidy/index.ts', 'own tidy'],
    ['tidy', 'shared', 'shared', 'tidy/index.ts', 'shared tidy'],
    ['tidy/help', undefined, 'shared', 'tidy/help.ts', 'shared help'],
    ['wash/index.ts', undefined, 'shared', 'wash/index.ts', 'shared wash'],
    ['flat', undefined, 'own', 'flat.ts', 'own flat'],
  ] as const)('finds the module %s, scope %s', async (path, wanted, scope, file, source) => {
    expect(await shelf.findModule(path, wanted)).toEqual({ scope, path: file, source });
  });

  test('leaves to the guest what lies behind a link, and knows what is not there', async () => {
    await symlink(join(root, 'tidy'), join(root, 'linked'));
    expect(await shelf.findModule('linked')).toEqual({ scope: 'own', path: 'linked/index.ts', source: null });
    expect(await shelf.findModule('tidy/help', 'own')).toBeUndefined();
    expect(await shelf.findModule('none')).toBeUndefined();
  });
});
