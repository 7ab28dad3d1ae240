import { randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { type GatedFiles, ifStill, type ListedEntry } from '../util/gated-files.ts';
import { canBePutBack } from '../util/path-gate.ts';
import { isSettled, isTemporary } from '../util/pinned-files.ts';
import { entriesOf } from './merge-tree.ts';
import { TREE_FOLDERS } from './replace-tree.ts';
import type { SnapshotInfo } from './snapshot-info.ts';
import { type FileContents, type ManifestEntry, manifestLine } from './snapshot-manifest.ts';
import type { ObjectWriter } from './snapshot-objects.ts';

export interface SnapshotDraftOptions {
  readonly tree: GatedFiles;
  /** Where clones go. */
  readonly data: GatedFiles;
  /** Where contents go that can share no blocks with the live files. */
  readonly objects: ObjectWriter;
  /** The entries of the last snapshot, by path. */
  readonly known: ReadonlyMap<string, ManifestEntry>;
  readonly onProgress?: ((text: string) => void) | undefined;
}

/** Files in work at the same time. */
const AT_ONCE = 8;
/** How often something that changes while it is looked at is looked at. */
const ATTEMPTS = 10;
const PROGRESS_EVERY = 1_000;

/** A snapshot while it is made. Programs may change the tree meanwhile, also against it. */
export class SnapshotDraft {
  readonly count = { files: 0, folders: 0, links: 0, bytes: 0, skipped: 0 };
  storage: SnapshotInfo['storage'] = 'shared';
  readonly #options: SnapshotDraftOptions;

  constructor(options: SnapshotDraftOptions) {
    this.#options = options;
  }

  /** The manifest; what it names is kept when it has been read. */
  async *lines(): AsyncGenerator<Buffer, void> {
    for (const folder of TREE_FOLDERS) yield* this.#folder(this.#options.tree, folder, folder);
  }

  async *#folder(parent: GatedFiles, name: string, path: string): AsyncGenerator<Buffer, void> {
    await using folder = await ifStill(() => parent.enter(name));
    if (folder === undefined) return;
    const { files } = folder;
    // What was removed lists as nothing, or on some file systems not at all.
    const listed = (await ifStill(() => entriesOf(files, ''))) ?? [];
    const entries = listed.filter((entry) => !isTemporary(entry.name));
    for (let at = 0; at < entries.length; at += AT_ONCE) {
      const batch = entries.slice(at, at + AT_ONCE);
      const kept = await Promise.all(batch.map((entry) => this.#keep(files, posix.join(path, entry.name), entry)));
      for (const entry of kept) {
        if (entry === undefined) this.count.skipped++;
        else yield manifestLine(entry);
        if (entry?.kind === 'folder') yield* this.#folder(files, posix.basename(entry.path), entry.path);
      }
    }
  }

  /** Undefined for what a snapshot cannot hold, and what went away meanwhile. */
  async #keep(folder: GatedFiles, path: string, listed: ListedEntry): Promise<ManifestEntry | undefined> {
    if (!listed.isReachable || !canBePutBack(path)) return undefined;
    for (let attempt = 1; ; attempt++) {
      try {
        const entry = attempt === 1 ? listed : { ...listed, ...(await folder.stat(listed.name)) };
        return await this.#keepNow(folder, path, entry);
      } catch (error) {
        if (!isWorkcellError(error)) throw error;
        if (error.code === 'not_found') return undefined;
        if (error.code !== 'invalid_state') throw error;
        if (attempt === ATTEMPTS)
          throw new WorkcellError('busy', `${JSON.stringify(path)} changes all the time; try again later`, {
            cause: error,
          });
      }
    }
  }

  /** Throws `invalid_state` for what is something else by now. */
  async #keepNow(folder: GatedFiles, path: string, entry: ListedEntry): Promise<ManifestEntry | undefined> {
    const { name, kind, uid, gid, modifiedAt } = entry;
    const base = { path, mode: entry.mode & 0o777, at: modifiedAt.getTime(), owner: { uid, gid } };
    switch (kind) {
      case 'file': {
        const contents = await this.#contents(folder, path, entry);
        this.count.files++;
        this.count.bytes += contents.size;
        if (this.count.files % PROGRESS_EVERY === 0) this.#options.onProgress?.(`${this.count.files} files are kept`);
        return { ...base, kind: 'file', ...contents };
      }
      case 'directory':
        this.count.folders++;
        return { ...base, kind: 'folder' };
      case 'symlink': {
        const target = await folder.readLink(name);
        this.count.links++;
        return { ...base, kind: 'link', target };
      }
      case 'other':
        return undefined;
      default:
        return kind satisfies never;
    }
  }

  async #contents(folder: GatedFiles, path: string, entry: ListedEntry): Promise<FileContents> {
    const { data, objects, known } = this.#options;
    const before = known.get(path);
    if (before?.kind === 'file' && before.version === entry.version)
      return { size: before.size, from: before.from, version: before.version };
    if (this.storage === 'shared') {
      const clone = randomBytes(8).toString('hex');
      if (await folder.cloneFile(entry.name, clone, { onlyShared: true, into: data }))
        return { size: (await data.stat(clone)).size, from: { clone } };
      this.storage = 'objects';
    }
    const version = isSettled(entry) ? { version: entry.version } : {};
    return { ...(await objects.add(folder, entry)), ...version };
  }
}
