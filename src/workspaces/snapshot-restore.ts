import { posix } from 'node:path';
import type { EnteredFolder, GatedFiles } from '../util/gated-files.ts';
import type { ManifestEntry } from './snapshot-manifest.ts';

export interface LayOutOptions {
  /** Each folder before what it holds, and all that is in it before what comes behind it. */
  readonly entries: AsyncIterable<ManifestEntry>;
  /** An empty folder. */
  readonly target: GatedFiles;
  /** Where the content of a file is. */
  readonly find: (entry: FileEntry) => { readonly files: GatedFiles; readonly path: string };
  readonly onProgress?: ((text: string) => void) | undefined;
}

type FileEntry = Extract<ManifestEntry, { kind: 'file' }>;

/** Files in work at the same time. */
const AT_ONCE = 8;
const PROGRESS_EVERY = 1_000;

/** Makes what a manifest says: files as clones or copies, folders, links, and their modes, times and owners. */
export async function layOut({ entries, target, find, onProgress }: LayOutOptions): Promise<void> {
  const folders: ManifestEntry[] = [];
  await using current = new CurrentFolder(target);
  await using running = new Running();
  let done = 0;
  for await (const entry of entries) {
    const { path, kind } = entry;
    if (++done % PROGRESS_EVERY === 0) onProgress?.(`${done} files and folders are back`);
    const parent = posix.dirname(path);
    if (parent !== current.path) {
      await running.drain();
      await current.change(parent);
    }
    const { files } = current;
    const name = posix.basename(path);
    if (kind === 'folder') {
      folders.push(entry);
      await files.makeDirectory(name);
    } else if (kind === 'link') {
      await files.makeLink(name, entry.target);
      await files.setAttributes(name, attributesOf(entry));
    } else {
      const from = find(entry);
      const attributes = attributesOf(entry);
      await running.add(() => from.files.cloneFile(from.path, name, { into: files, attributes }));
    }
  }
  await running.drain();
  // Putting something into a folder changes when that was modified, so the folders come last, the inner ones first.
  for (const folder of folders.reverse()) await target.setAttributes(folder.path, attributesOf(folder));
}

function attributesOf({ mode, at, owner }: ManifestEntry) {
  return { mode, modifiedAt: new Date(at), owner };
}

/** The folder that is filled at the moment, held so that the way to it is not gone for each file. */
class CurrentFolder implements AsyncDisposable {
  path = '.';
  readonly #top: GatedFiles;
  #entered: EnteredFolder | undefined;

  constructor(top: GatedFiles) {
    this.#top = top;
  }

  get files(): GatedFiles {
    return this.#entered?.files ?? this.#top;
  }

  async change(path: string): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#entered = await this.#top.enter(path);
    this.path = path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const entered = this.#entered;
    this.#entered = undefined;
    await entered?.[Symbol.asyncDispose]();
  }
}

/** Work that is under way; the first failure is thrown by whoever asks next. */
class Running implements AsyncDisposable {
  readonly #all = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** Waits while there is enough. */
  async add(work: () => Promise<unknown>): Promise<void> {
    while (this.#all.size >= AT_ONCE) await Promise.race(this.#all);
    this.#assertGood();
    const one: Promise<void> = work()
      .then(
        () => {},
        (error: unknown) => {
          this.#failure ??= { error };
        },
      )
      .finally(() => this.#all.delete(one));
    this.#all.add(one);
  }

  async drain(): Promise<void> {
    await Promise.all(this.#all);
    this.#assertGood();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all);
  }

  #assertGood(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
