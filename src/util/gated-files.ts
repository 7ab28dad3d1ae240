import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lstat, open, rename, unlink } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { formatSize } from '../core/units.ts';
import { errnoOf, succeeds } from './errno.ts';
import { explainGateError, namesIn, Pin, parseRelativePath, type WalkOptions, walk } from './path-gate.ts';
import { removeTree } from './remove-tree.ts';

export interface EntryInfo {
  readonly kind: 'file' | 'directory' | 'symlink' | 'other';
  /** Bytes. */
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
  /** Owner and group, by number. */
  readonly uid: number;
  readonly gid: number;
  readonly modifiedAt: Date;
  readonly accessedAt: Date;
  readonly createdAt: Date;
}

export interface ListedEntry extends EntryInfo {
  /** A name that is not valid UTF-8 is shown with U+FFFD; such an entry cannot be reached by its name. */
  readonly name: string;
}

export interface OpenedFile {
  /** Bytes that the stream will give; it fails when the file is cut shorter meanwhile. */
  readonly size: number;
  /** Must be read to its end or destroyed. */
  readonly stream: Readable;
}

export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface Listing {
  /** Sorted by name. */
  readonly entries: readonly ListedEntry[];
  /** True when there are more than `maxEntries`; which ones are missing is up to the file system. */
  readonly truncated: boolean;
}

const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;

/**
 * The files below one directory that a guest writes to at the same time; see `path-gate.ts` for what that defends.
 *
 * Paths are relative to the directory. No symbolic link is followed, wherever it leads. Every method throws
 * `invalid_argument` for a path that is not well formed, `not_found` when nothing is there, `invalid_state` when
 * something else is there than the call is for, and `storage_failed` when the disk refuses.
 */
export class GatedFiles {
  readonly #root: string;
  readonly #base: readonly string[];

  /** The directory is `root` and then `base`, whose names are held to the same rules as every path. */
  constructor(root: string, base: readonly string[] = []) {
    this.#root = root;
    this.#base = base;
  }

  /** The content of a regular file; throws `invalid_state` when it has more than `maxBytes`. */
  readFile(path: string, options: { readonly maxBytes: number }): Promise<Buffer> {
    return this.#guard('read', path, async (names) => {
      await using pin = await this.#walk(names);
      return await readPinned(pin.assertFile(), options.maxBytes);
    });
  }

  /** A regular file of any size, as a stream. */
  openFile(path: string): Promise<OpenedFile> {
    return this.#guard('read', path, async (names) => {
      await using pin = await this.#walk(names);
      return await openPinned(pin.assertFile());
    });
  }

  /**
   * Replaces a file as a whole, or makes it and the folders on the way: readers see the old content or the new one.
   * Both have reached the disk when it resolves. A link at `path` is replaced, not followed; a file that was there lends
   * its mode and owner. Throws `storage_full` when there is no room.
   */
  writeFile(path: string, data: FileContent): Promise<void> {
    return this.#guard('write', path, async (names) => {
      const { folder, name } = split(names);
      await using parent = await this.#walk(folder, { makeMode: DIRECTORY_MODE });
      await replaceIn(parent.assertDirectory(), name, data);
    });
  }

  /** Writes the content of one file to another as {@link writeFile} does. */
  async copyFile(from: string, to: string): Promise<void> {
    const { stream } = await this.openFile(from);
    try {
      await this.writeFile(to, stream);
    } finally {
      stream.destroy();
    }
  }

  /**
   * Moves whatever is at `from`; a link is moved itself. Makes the folders on the way to `to`, replaces a file there and an
   * empty folder by a folder.
   */
  rename(from: string, to: string): Promise<void> {
    return this.#guard('move', from, async (names) => {
      const toNames = parseRelativePath(to);
      if (toNames.length > names.length && names.every((name, index) => name === toNames[index])) {
        throw new WorkcellError('invalid_argument', 'a folder cannot go into itself');
      }
      const [source, target] = [split(names), split(toNames)];
      await using sourceFolder = await this.#walk(source.folder);
      await using moved = await sourceFolder.assertDirectory().child(source.name);
      await using targetFolder = await this.#walk(target.folder, { makeMode: DIRECTORY_MODE });
      const inPlace = await kindIn(targetFolder.assertDirectory(), target.name);
      if (inPlace === 'directory' && !moved.stats.isDirectory()) {
        throw new WorkcellError('invalid_state', `${JSON.stringify(to.slice(0, 200))} is a folder`);
      }
      await rename(sourceFolder.at(source.name), targetFolder.at(target.name));
    });
  }

  /** What a folder holds, without what its folders hold. */
  list(path: string, options: { readonly maxEntries?: number } = {}): Promise<Listing> {
    return this.#guard('list', path, async (names) => {
      await using pin = await this.#walk(names);
      return await listPinned(pin.assertDirectory(), options.maxEntries ?? 10_000);
    });
  }

  /** What is at `path`; a link is described itself. */
  stat(path: string): Promise<EntryInfo> {
    return this.#guard('look at', path, async (names) => {
      await using pin = await this.#walk(names);
      return infoOf(pin.stats);
    });
  }

  /** Whether anything is at `path`; a link counts, whatever it leads to. */
  exists(path: string): Promise<boolean> {
    return this.stat(path).then(
      () => true,
      (error: unknown) => {
        if (isWorkcellError(error) && error.code === 'not_found') return false;
        throw error;
      },
    );
  }

  /** Makes a folder and the ones on the way to it; one that is there already is fine. */
  makeDirectory(path: string): Promise<void> {
    return this.#guard('make the folder', path, async (names) => {
      await using pin = await this.#walk(names, { makeMode: DIRECTORY_MODE });
      pin.assertDirectory();
    });
  }

  /**
   * Takes away a file, a link, or a folder with everything in it. Throws `busy` when a guest keeps adding to it. With
   * `recursive: false`, a folder is refused.
   */
  remove(path: string, { recursive = true }: { readonly recursive?: boolean } = {}): Promise<void> {
    return this.#guard('remove', path, async (names) => {
      const { folder, name } = split(names);
      await using parent = await this.#walk(folder);
      if (recursive) await removeTree(parent.assertDirectory(), name);
      else await unlink(parent.assertDirectory().at(name));
    });
  }

  async #walk(names: readonly string[], options?: WalkOptions): Promise<Pin> {
    const top = await walk(await Pin.root(this.#root), this.#base);
    return await walk(top, names, options);
  }

  async #guard<T>(verb: string, path: string, work: (names: readonly string[]) => Promise<T>): Promise<T> {
    try {
      return await work(parseRelativePath(path));
    } catch (error) {
      throw explainGateError(`Cannot ${verb} ${JSON.stringify(path.slice(0, 200))}`, error);
    }
  }
}

async function readPinned(pin: Pin, maxBytes: number): Promise<Buffer> {
  await using file = await open(pin.path, constants.O_RDONLY);
  const chunks: Buffer[] = [];
  let size = 0;
  // One byte more than allowed tells a file that is too large, also one that grows while it is read.
  for await (const chunk of file.createReadStream({ end: maxBytes, autoClose: false })) {
    chunks.push(chunk);
    size += chunk.length;
  }
  if (size > maxBytes) throw new WorkcellError('invalid_state', `it has more than the ${formatSize(maxBytes)} allowed`);
  return Buffer.concat(chunks, size);
}

async function openPinned(pin: Pin): Promise<OpenedFile> {
  const file = await open(pin.path, constants.O_RDONLY);
  try {
    // One that grows meanwhile is read up to where it ended when it was opened.
    const { size } = await file.stat();
    if (size > 0) return { size, stream: file.createReadStream({ end: size - 1 }) };
    await file.close();
    return { size, stream: Readable.from([]) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function replaceIn(folder: Pin, name: string, data: FileContent): Promise<void> {
  const temporary = folder.at(`.workcell-${randomBytes(8).toString('hex')}.tmp`);
  try {
    const before = await statIfThere(folder.at(name));
    await writeNew(temporary, data, before?.isFile() === true ? before : undefined);
    await rename(temporary, folder.at(name));
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await using directory = await open(folder.path, constants.O_RDONLY | constants.O_DIRECTORY);
  await directory.sync();
}

async function writeNew(path: Buffer, data: FileContent, like: Stats | undefined): Promise<void> {
  await using file = await open(path, 'wx', FILE_MODE);
  await file.writeFile(data);
  if (like !== undefined) {
    // An ordinary user cannot give files away; the content matters more than the owner.
    await succeeds(file.chown(like.uid, like.gid), ['EPERM']);
    await file.chmod(like.mode & 0o777);
  }
  await file.sync();
}

async function listPinned(folder: Pin, maxEntries: number): Promise<Listing> {
  const names = await namesIn(folder, maxEntries + 1);
  const entries: ListedEntry[] = [];
  for (const name of names.slice(0, maxEntries)) {
    const stats = await statIfThere(folder.at(name));
    if (stats !== undefined) entries.push({ name: name.toString('utf8'), ...infoOf(stats) });
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { entries, truncated: names.length > maxEntries };
}

async function statIfThere(path: Buffer): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function kindIn(folder: Pin, name: string): Promise<EntryInfo['kind'] | undefined> {
  const stats = await statIfThere(folder.at(name));
  return stats === undefined ? undefined : kindOf(stats);
}

function infoOf(stats: Stats): EntryInfo {
  const { size, mode, uid, gid, mtime, atime, birthtime } = stats;
  const times = { modifiedAt: mtime, accessedAt: atime, createdAt: birthtime };
  return { kind: kindOf(stats), size, mode: mode & 0o7777, uid, gid, ...times };
}

function kindOf(stats: Stats): EntryInfo['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}

function split(names: readonly string[]): { readonly folder: readonly string[]; readonly name: string } {
  const name = names.at(-1);
  if (name === undefined) throw new WorkcellError('invalid_argument', 'the path names the folder itself');
  return { folder: names.slice(0, -1), name };
}
