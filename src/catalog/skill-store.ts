import { randomBytes } from 'node:crypto';
import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import type { SkillScope } from '../core/skill.ts';
import { assertSkillName, skillNameProblem } from '../core/skill-name.ts';
import type { GatedFiles, ListedEntry } from '../util/gated-files.ts';
import { printable } from '../util/printable.ts';
import { parseSkillDocument, type SkillDocument } from './skill-document.ts';
import { parseSkillRecord, type SkillRecord } from './skill-record.ts';

/** One folder below `skills/`, as it is on disk. */
export type StoredSkill =
  | {
      readonly status: 'ready';
      readonly name: string;
      readonly document: SkillDocument;
      /** Of a skill that was saved from an execution. */
      readonly record: SkillRecord | undefined;
      readonly languages: readonly Language[];
    }
  | { readonly status: 'broken'; readonly name: string; readonly problem: string };

export interface SkillFile {
  /** Relative to the folder of all skills. */
  readonly path: string;
  readonly text: string;
}

/** What a skill is made of, each file by its name within the folder of the skill. */
export interface SkillContent {
  readonly document: string;
  readonly record: string;
  readonly code: ReadonlyMap<string, string>;
}

const DOCUMENT = 'SKILL.md';
const RECORD = 'workcell.json';
/** The code files that a save makes; one in another language leaves none of these behind. */
const GENERATED = ['index.ts', '__init__.py', 'program.py'];
const LANGUAGES: Readonly<Record<string, Language>> = {
  'index.ts': 'typescript',
  'index.js': 'typescript',
  'index.mjs': 'typescript',
  '__init__.py': 'python',
};
const STAGING = '.workcell-skill-';
const STAGING_MS = 3_600_000;

/** What is read of a folder of skills, of one skill, and of one file: a guest may write more than anyone would read. */
const LIMITS = {
  skills: 1_000,
  files: 100,
  documentBytes: 128 * 1024,
  recordBytes: 1024 * 1024,
  codeBytes: 1024 * 1024,
} as const;

/**
 * One folder of skills: those of a customer, which its guests write to at the same time, or those that all share.
 *
 * No link in it is followed. Whatever is wrong with one skill is told of that one and does no harm to others. Methods throw as
 * `GatedFiles` does when the folder itself cannot be used.
 */
export class SkillStore {
  readonly scope: SkillScope;
  readonly #files: GatedFiles;

  constructor(files: GatedFiles, scope: SkillScope) {
    this.#files = files;
    this.scope = scope;
  }

  /** Every folder that is meant as a skill, also the broken ones, by name. Of more than 1,000 entries, some are left out. */
  async list(): Promise<{ readonly skills: readonly StoredSkill[]; readonly truncated: boolean }> {
    const { entries, truncated } = await this.#files.list('', { maxEntries: LIMITS.skills });
    const skills: StoredSkill[] = [];
    for (const { name, kind } of entries) {
      const isMeant = kind === 'directory' ? !name.startsWith('.') : kind === 'symlink' && !name.includes('.');
      if (isMeant) skills.push(await this.#read(name));
    }
    return { skills, truncated };
  }

  /** Undefined when there is nothing of this name. Throws `invalid_argument` for what cannot be the name of a skill. */
  async find(name: string): Promise<StoredSkill | undefined> {
    assertSkillName(name);
    // What cannot even be looked at is there, and broken.
    return (await this.#files.exists(name).catch(() => true)) ? await this.#read(name) : undefined;
  }

  /** The code in the folder of a skill, without folders in it, up to 1 MiB; or the single file that stands in its place. */
  async code(name: string): Promise<readonly SkillFile[]> {
    const entries = await this.#entries(name).catch(() => undefined);
    const paths =
      entries === undefined
        ? ['.ts', '.js', '.mjs', '.py'].map((ending) => `${name}${ending}`)
        : codeFiles(entries).map((file) => `${name}/${file}`);
    const files = await Promise.all(
      paths.map(async (path) => ({ path, text: await this.load(path).catch(() => undefined) })),
    );
    return files.flatMap(({ path, text }) => (text === undefined ? [] : [{ path, text }]));
  }

  /**
   * The text of a file; undefined when there is none. Throws `invalid_state` for what is no regular file, lies behind a
   * link, or is over 1 MiB, and `invalid_argument` for a path that leads out.
   */
  async load(path: string): Promise<string | undefined> {
    try {
      return (await this.#files.readFile(path, { maxBytes: LIMITS.codeBytes })).toString('utf8');
    } catch (error) {
      if (isWorkcellError(error) && error.code === 'not_found') return undefined;
      throw error;
    }
  }

  /**
   * Makes a skill, as a whole or not at all. With `replace`, one of that name is replaced: its code first, then what is told of
   * it, each file as a whole; other files in its folder stay. Throws `already_exists` when something is there otherwise.
   */
  async save(
    name: string,
    content: SkillContent,
    { replace = false }: { readonly replace?: boolean } = {},
  ): Promise<void> {
    assertSkillName(name);
    await this.#sweep();
    const kind = (await this.#files.exists(name)) ? (await this.#files.stat(name)).kind : undefined;
    if (kind !== undefined && !replace) throw exists(name);
    if (kind === 'directory') return await this.#replace(name, content);
    if (kind !== undefined) await this.remove(name);
    const staging = stagingName();
    try {
      await this.#write(staging, content);
      await this.#files.rename(staging, name);
    } catch (error) {
      await this.#files.remove(staging).catch(() => {});
      if (await this.#files.exists(name).catch(() => false)) throw exists(name);
      throw error;
    }
  }

  /** As a whole. Throws `not_found` when there is nothing of this name. */
  async remove(name: string): Promise<void> {
    assertSkillName(name);
    const aside = stagingName();
    await this.#files.rename(name, aside);
    await this.#files.remove(aside);
  }

  async #read(name: string): Promise<StoredSkill> {
    try {
      const problem = skillNameProblem(name);
      if (problem !== undefined) throw new WorkcellError('invalid_state', `${JSON.stringify(name)} ${problem}`);
      const entries = await this.#entries(name);
      const has = (file: string) => entries.some((entry) => entry.name === file);
      if (!has(DOCUMENT))
        throw new WorkcellError('invalid_state', `It has no ${DOCUMENT}, with a name and a description`);
      const document = parseSkillDocument(await this.#text(`${name}/${DOCUMENT}`, LIMITS.documentBytes), name);
      const record = has(RECORD)
        ? parseSkillRecord(await this.#text(`${name}/${RECORD}`, LIMITS.recordBytes))
        : undefined;
      const languages = entries.flatMap((entry) => (entry.kind === 'file' ? (LANGUAGES[entry.name] ?? []) : []));
      return { status: 'ready', name, document, record, languages: [...new Set(languages)] };
    } catch (error) {
      return { status: 'broken', name: printable(name), problem: printable(messageOf(error)) };
    }
  }

  async #entries(name: string): Promise<readonly ListedEntry[]> {
    return (await this.#files.list(name, { maxEntries: LIMITS.files })).entries;
  }

  async #text(path: string, maxBytes: number): Promise<string> {
    return (await this.#files.readFile(path, { maxBytes })).toString('utf8');
  }

  async #replace(name: string, content: SkillContent): Promise<void> {
    await this.#write(name, content);
    for (const file of GENERATED) {
      if (!content.code.has(file) && (await this.#files.exists(`${name}/${file}`)))
        await this.#files.remove(`${name}/${file}`);
    }
  }

  /** What is told of a skill comes last, so that it is never told of code that is not there. */
  async #write(folder: string, { code, record, document }: SkillContent): Promise<void> {
    for (const [file, text] of code) await this.#files.writeFile(`${folder}/${file}`, text);
    await this.#files.writeFile(`${folder}/${RECORD}`, record);
    await this.#files.writeFile(`${folder}/${DOCUMENT}`, document);
  }

  /** Takes away what saves and removals left that were cut off. */
  async #sweep(): Promise<void> {
    const { entries } = await this.#files.list('', { maxEntries: LIMITS.skills });
    const old = entries.filter(
      ({ name, modifiedAt }) => name.startsWith(STAGING) && Date.now() - +modifiedAt > STAGING_MS,
    );
    for (const { name } of old) await this.#files.remove(name).catch(() => {});
  }
}

/** The names of the first code files that are not too large together. */
function codeFiles(entries: readonly ListedEntry[]): readonly string[] {
  let bytes = 0;
  return entries.flatMap(({ kind, name, size }) => {
    if (kind !== 'file' || !CODE.test(name) || bytes + size > LIMITS.codeBytes) return [];
    bytes += size;
    return [name];
  });
}

const CODE = /\.(?:m?[jt]s|py)$/;

function stagingName(): string {
  return `${STAGING}${randomBytes(8).toString('hex')}`;
}

function exists(name: string): WorkcellError {
  return new WorkcellError(
    'already_exists',
    `There is a skill "${name}" already; replace it with --force, or choose another name`,
  );
}
