import { constants } from 'node:fs';
import { chmod, copyFile, lchown, lutimes, open, readlink, rename, symlink, unlink, utimes } from 'node:fs/promises';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { errnoOf, succeeds } from './errno.ts';
import { hostCommand } from './host-command.ts';
import { moveContents } from './move-contents.ts';
import { explainGateError, namesIn, Pin, parseRelativePath, type WalkOptions, walk } from './path-gate.ts';
import {
  type ByteRange,
  type EntryInfo,
  eachPinned,
  type FileContent,
  hasHoles,
  infoOf,
  kindOf,
  type ListedEntry,
  type Listing,
  listPinned,
  type OpenedFile,
  openPinned,
  readPinned,
  replaceIn,
  settledInfo,
  statIfThere,
  syncFolder,
  type WriteOptions,
} from './pinned-files.ts';
import { removeTree } from './remove-tree.ts';

export type {
  ByteRange,
  EntryInfo,
  FileContent,
  ListedEntry,
  Listing,
  OpenedFile,
  WriteOptions,
} from './pinned-files.ts';

export interface RenameOptions {
  /** Called with what is at the target right before it is replaced; what it throws keeps that in place. */
  readonly check?: ((current: EntryInfo | undefined) => void) | undefined;
}

/** Good until it is disposed of. */
export interface EnteredFolder extends AsyncDisposable {
  readonly files: GatedFiles;
}

export interface Attributes {
  /** Permission bits; links have none. */
  readonly mode?: number | undefined;
  readonly modifiedAt?: Date | undefined;
  /** Where this process may not give it away, it stays its own. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

export interface EachOptions {
  /** Default: the first. */
  readonly from?: string | undefined;
  readonly maxEntries: number;
}

export interface CloneOptions {
  readonly onlyShared?: boolean | undefined;
  /** Where the copy goes; default the same files. */
  readonly into?: GatedFiles | undefined;
  /** Of the copy. */
  readonly attributes?: Attributes | undefined;
}

const DIRECTORY_MODE = 0o755;
const COPY_TIMEOUT_MS = 60 * 60_000;
/** What the kernel says where a file system cannot share blocks, or not between these two files. */
const CANNOT_SHARE = ['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'ENOTTY', 'EXDEV', 'EINVAL'];

/**
 * The files below one directory that a guest writes to at the same time; see `path-gate.ts` for what that defends.
 *
 * Paths are relative to the directory. No symbolic link is followed, wherever it leads. Every method throws
 * `invalid_argument` for a path that is not well formed, `not_found` when nothing is there, `invalid_state` when
 * something else is there than the call is for, and `storage_failed` when the disk refuses.
 */
export class GatedFiles {
  readonly #root: string | Pin;
  readonly #base: readonly string[];

  /** The directory is `root`, which may be one that is held, and then `base`, whose names are held to the same rules as every path. */
  constructor(root: string | Pin, base: readonly string[] = []) {
    this.#root = root;
    this.#base = base;
  }

  /** What is below a folder that is held, whatever becomes of its name: quicker where much is done in one folder. */
  enter(path: string): Promise<EnteredFolder> {
    return this.#guard('open', path, async (names) => {
      const pin = await this.#walk(names);
      try {
        return { files: new GatedFiles(pin.assertDirectory()), [Symbol.asyncDispose]: () => pin.close() };
      } catch (error) {
        await pin.close();
        throw error;
      }
    });
  }

  /** The content of a regular file; throws `invalid_state` when it has more than `maxBytes`. */
  readFile(path: string, options: { readonly maxBytes: number }): Promise<Buffer> {
    return this.#guard('read', path, async (names) => {
      await using pin = await this.#walk(names);
      return await readPinned(pin.assertFile(), options.maxBytes);
    });
  }

  /** A regular file of any size, or the bytes of it that `choose` names, as a stream; what `choose` throws, this throws. */
  openFile(path: string, choose?: (info: EntryInfo) => ByteRange | undefined): Promise<OpenedFile> {
    return this.#guard('read', path, async (names) => {
      await using pin = await this.#walk(names);
      return await openPinned(pin.assertFile(), choose);
    });
  }

  /**
   * Replaces a file as a whole, or makes it and the folders on the way: readers see the old content or the new one.
   * Both have reached the disk when it resolves. A link at `path` is replaced, not followed; a file that was there lends
   * its mode and owner. Gives what is there afterwards. Throws `storage_full` when there is no room.
   */
  writeFile(path: string, data: FileContent, options?: WriteOptions): Promise<EntryInfo> {
    return this.#guard('write', path, async (names) => {
      const { folder, name } = split(names);
      await using parent = await this.#walk(folder, { makeMode: DIRECTORY_MODE, sync: options?.sync !== false });
      return await replaceIn(parent.assertDirectory(), name, data, options);
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
   * Copies a regular file with its permissions to where nothing is, sharing blocks with it where the file system can; that it
   * reaches the disk is left to the caller. Holes stay holes. With `onlyShared`, gives false instead of copying the bytes.
   */
  cloneFile(from: string, to: string, options: CloneOptions = {}): Promise<boolean> {
    const { onlyShared = false, into = this, attributes } = options;
    return this.#guard('copy', from, async (names) => {
      const { folder, name } = split(parseRelativePath(to));
      await using source = await this.#walk(names);
      await using parent = await into.#walk(folder, { makeMode: DIRECTORY_MODE });
      const target = parent.assertDirectory().at(name);
      const { COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE } = constants;
      const copy = (flag: number) => copyFile(source.assertFile().path, target, COPYFILE_EXCL | flag);
      if (onlyShared) {
        if (!(await succeeds(copy(COPYFILE_FICLONE_FORCE), CANNOT_SHARE))) return false;
      } else if (hasHoles(infoOf(source.stats))) await copyWithHoles(source.assertFile(), parent, name);
      else await copy(COPYFILE_FICLONE);
      if (attributes !== undefined) await setAttributesIn(parent, name, attributes);
      return true;
    });
  }

  /**
   * Moves whatever is at `from`; a link is moved itself. Makes the folders on the way to `to`, replaces a file there and an
   * empty folder by a folder.
   */
  rename(from: string, to: string, options: RenameOptions = {}): Promise<void> {
    return this.#guard('move', from, async (names) => {
      const toNames = parseRelativePath(to);
      if (toNames.length > names.length && names.every((name, index) => name === toNames[index])) {
        throw new WorkcellError('invalid_argument', 'a folder cannot go into itself');
      }
      const [source, target] = [split(names), split(toNames)];
      await using sourceFolder = await this.#walk(source.folder);
      await using moved = await sourceFolder.assertDirectory().child(source.name);
      await using targetFolder = await this.#walk(target.folder, { makeMode: DIRECTORY_MODE });
      const inPlace = await statIfThere(targetFolder.assertDirectory().at(target.name));
      if (inPlace !== undefined && kindOf(inPlace) === 'directory' && !moved.stats.isDirectory()) {
        throw new WorkcellError('invalid_state', `${JSON.stringify(to.slice(0, 200))} is a folder`);
      }
      options.check?.(inPlace === undefined ? undefined : infoOf(inPlace));
      await rename(sourceFolder.at(source.name), targetFolder.at(target.name));
    });
  }

  /** Moves everything that the folder `from` holds into the folder `to`, also what cannot be named; both are on disk then. */
  moveContents(from: string, to: string): Promise<void> {
    return this.#guard('move', from, async (names) => {
      await using source = await this.#walk(names);
      await using target = await this.#walk(parseRelativePath(to), { makeMode: DIRECTORY_MODE });
      await moveContents(source.assertDirectory(), target.assertDirectory());
      await syncFolder(source);
      await syncFolder(target);
    });
  }

  /** What a folder holds, without what its folders hold. */
  list(path: string, options: { readonly maxEntries?: number } = {}): Promise<Listing> {
    return this.#guard('list', path, async (names) => {
      await using pin = await this.#walk(names);
      return await listPinned(pin.assertDirectory(), options.maxEntries ?? 10_000);
    });
  }

  /**
   * As {@link list}, from the name `from` on, where each entry is looked at when it is asked for: a page of a large folder
   * costs its names and no more. Throws `unsupported` when there are more than `maxEntries`.
   */
  async *each(path: string, { from, maxEntries }: EachOptions): AsyncGenerator<ListedEntry, void> {
    await using pin = await this.#guard('list', path, (names) => this.#walk(names));
    const names = await this.#guard('list', path, () => namesIn(pin.assertDirectory(), maxEntries + 1));
    if (names.length > maxEntries)
      throw new WorkcellError('unsupported', `A folder holds more than the ${maxEntries} entries that can be handled`);
    yield* eachPinned(pin, names, from);
  }

  /** What is at `path`; a link is described itself. `settled`: waits a moment where that makes the version a reliable one. */
  stat(path: string, { settled = false }: { readonly settled?: boolean } = {}): Promise<EntryInfo> {
    return this.#guard('look at', path, async (names) => {
      await using pin = await this.#walk(names);
      return settled ? await settledInfo(() => pin.restat()) : infoOf(pin.stats);
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

  /** What a symbolic link says, which is not looked at. Throws `invalid_state` for anything else. */
  readLink(path: string): Promise<string> {
    return this.#guard('read the link', path, async (names) => {
      const { folder, name } = split(names);
      await using parent = await this.#walk(folder);
      return await readlink(parent.assertDirectory().at(name));
    });
  }

  /** Makes a symbolic link, and the folders on the way; `target` may be any text. Throws `invalid_state` when something is there. */
  makeLink(path: string, target: string): Promise<void> {
    return this.#guard('make the link', path, async (names) => {
      const { folder, name } = split(names);
      await using parent = await this.#walk(folder, { makeMode: DIRECTORY_MODE });
      await symlink(target, parent.assertDirectory().at(name));
    });
  }

  /** Changes what is told; of a link, the link's own. */
  setAttributes(path: string, attributes: Attributes): Promise<void> {
    return this.#guard('change', path, async (names) => {
      const { folder, name } = split(names);
      await using parent = await this.#walk(folder);
      await setAttributesIn(parent.assertDirectory(), name, attributes);
    });
  }

  /** Resolves when everything that was written to the file system is on disk: quicker than file by file for many. */
  async syncAll(): Promise<void> {
    await using pin = await this.#walk([]);
    // The command finds the folder by the descriptor of this process.
    await hostCommand('sync', ['-f', pin.path.replace('self', String(process.pid))], { package: 'coreutils' });
  }

  /** Resolves when the names in a folder are on disk. */
  syncFolder(path: string): Promise<void> {
    return this.#guard('write', path, async (names) => {
      await using pin = await this.#walk(names);
      await syncFolder(pin.assertDirectory());
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
    const root = typeof this.#root === 'string' ? await Pin.root(this.#root) : this.#root.borrow();
    const top = await walk(root, this.#base);
    return await walk(top, names, options);
  }

  async #guard<T>(verb: string, path: string, work: (names: readonly string[]) => Promise<T>): Promise<T> {
    try {
      return await work(parseRelativePath(path));
    } catch (error) {
      // What failed is not the disk, but who gave the content.
      if (!isWorkcellError(error) && errnoOf(error) === '') throw error;
      throw explainGateError(`Cannot ${verb} ${JSON.stringify(path.slice(0, 200))}`, error);
    }
  }
}

/** Undefined for what went away between two looks at it, or became something else. */
export async function ifStill<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isWorkcellError(error) && ['not_found', 'invalid_state'].includes(error.code)) return undefined;
    throw error;
  }
}

/** Node would write the holes: no more than a guest's disk holds could become any number of bytes on the host's. */
async function copyWithHoles(source: Pin, folder: Pin, name: string): Promise<void> {
  const target = folder.at(name);
  await (await open(target, 'wx', 0o600)).close();
  try {
    // The command finds both by the descriptors of this process.
    const [from, to] = [source.path, `${folder.path}/${name}`].map((path) => path.replace('self', String(process.pid)));
    await hostCommand('cp', ['--sparse=always', '--no-target-directory', '--', `${from}`, `${to}`], {
      package: 'coreutils',
      timeoutMs: COPY_TIMEOUT_MS,
    });
    await chmod(target, Number(source.stats.mode) & 0o777);
  } catch (error) {
    await unlink(target);
    throw error;
  }
}

function split(names: readonly string[]): { readonly folder: readonly string[]; readonly name: string } {
  const name = names.at(-1);
  if (name === undefined) throw new WorkcellError('invalid_argument', 'the path names the folder itself');
  return { folder: names.slice(0, -1), name };
}

async function setAttributesIn(folder: Pin, name: string, { mode, modifiedAt, owner }: Attributes): Promise<void> {
  await using pin = await folder.child(name);
  const isLink = pin.stats.isSymbolicLink();
  if (owner !== undefined && (owner.uid !== Number(pin.stats.uid) || owner.gid !== Number(pin.stats.gid)))
    await succeeds(lchown(folder.at(name), owner.uid, owner.gid), ['EPERM']);
  if (mode !== undefined && !isLink && (Number(pin.stats.mode) & 0o7777) !== (mode & 0o777))
    await chmod(pin.path, mode & 0o777);
  if (modifiedAt === undefined) return;
  if (isLink) await lutimes(folder.at(name), new Date(), modifiedAt);
  else await utimes(pin.path, new Date(), modifiedAt);
}
