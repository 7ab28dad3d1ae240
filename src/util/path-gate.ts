/**
 * The way for host code into a directory tree that a guest writes to at the same time.
 *
 * What it defends: the host's other files and its event loop. A guest is root in its VM; it may put links, FIFOs, device
 * nodes and odd names anywhere in the tree and swap any of them while the host looks. So a path is walked component by
 * component. Each is opened with `O_PATH | O_NOFOLLOW`, which pins the inode without opening what is behind it (no FIFO
 * to hang on, no device to wake), and everything after goes through `/proc/self/fd/<fd>`, which names that inode and
 * nothing else. Linux only.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, mkdir, open, opendir } from 'node:fs/promises';
import { type ErrorCode, isWorkcellError, WorkcellError } from '../core/errors.ts';
import { errnoOf, succeeds } from './errno.ts';
import { syncFolder } from './sync-folder.ts';

/** Bytes of a whole path, bytes of one name, names in a path: more is refused before anything is opened. */
export const PATH_LIMITS = { pathBytes: 4095, nameBytes: 255, depth: 128 } as const;

/** Linux, the same number on every architecture that Node supports; Node does not export it. */
const O_PATH = 0o10000000;

/** An entry of the tree, held by its inode: what goes through it reaches that entry, whatever is renamed meanwhile. */
export class Pin implements AsyncDisposable {
  readonly stats: BigIntStats;
  readonly #handle: FileHandle;
  readonly #isBorrowed: boolean;

  private constructor(handle: FileHandle, stats: BigIntStats, isBorrowed = false) {
    this.#handle = handle;
    this.stats = stats;
    this.#isBorrowed = isBorrowed;
  }

  /** Pins a directory that no guest can replace; links in `path` are followed, as its owner made them. */
  static root(path: string): Promise<Pin> {
    return Pin.#open(path, O_PATH | constants.O_DIRECTORY);
  }

  /** Names this very entry to any call of `node:fs`, for as long as the pin is held. */
  get path(): string {
    return `/proc/self/fd/${this.#handle.fd}`;
  }

  /** Names an entry of this directory. The entry itself may be a link: only for calls that do not follow one. */
  at(name: string | Buffer): Buffer {
    return Buffer.concat([Buffer.from(`${this.path}/`), Buffer.from(name)]);
  }

  /** Pins an entry of this directory, whatever it is; a link is pinned itself. */
  child(name: string | Buffer): Promise<Pin> {
    return Pin.#open(this.at(name), O_PATH | constants.O_NOFOLLOW);
  }

  /** Throws `invalid_state` unless this is a directory. */
  assertDirectory(): this {
    if (this.stats.isDirectory()) return this;
    throw new WorkcellError('invalid_state', `it, or a folder on the way to it, is ${kindWords(this.stats)}`);
  }

  /** Throws `invalid_state` unless this is a regular file. */
  assertFile(): this {
    if (this.stats.isFile()) return this;
    throw new WorkcellError('invalid_state', `it is ${kindWords(this.stats)}, not a regular file`);
  }

  /** The same entry, for as long as this is held; to close it does nothing. */
  borrow(): Pin {
    return new Pin(this.#handle, this.stats, true);
  }

  /** What the entry is like by now. */
  restat(): Promise<BigIntStats> {
    return this.#handle.stat({ bigint: true });
  }

  async close(): Promise<void> {
    if (!this.#isBorrowed) await this.#handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  static async #open(path: string | Buffer, flags: number): Promise<Pin> {
    const handle = await open(path, flags);
    try {
      return new Pin(handle, await handle.stat({ bigint: true }));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }
}

/**
 * The names in a relative path; none for `''` and `'.'`. Throws `invalid_argument` for an absolute path, for `..`, an empty
 * name, a NUL, text that is not well-formed Unicode, and beyond {@link PATH_LIMITS}.
 */
export function parseRelativePath(path: string): readonly string[] {
  if (path === '' || path === '.') return [];
  if (!path.isWellFormed() || path.includes('\0')) throw invalid('it holds a NUL or is not valid Unicode');
  if (path.startsWith('/')) throw invalid('it is absolute; give it relative to the folder');
  if (Buffer.byteLength(path) > PATH_LIMITS.pathBytes)
    throw invalid(`it is longer than ${PATH_LIMITS.pathBytes} bytes`);
  const names = path.split('/');
  if (names.length > PATH_LIMITS.depth) throw invalid(`it has more than ${PATH_LIMITS.depth} names`);
  for (const name of names) {
    if (name === '' || name === '.' || name === '..') throw invalid(`${JSON.stringify(name)} is not a name in it`);
    if (Buffer.byteLength(name) > PATH_LIMITS.nameBytes) {
      throw invalid(`a name in it is longer than ${PATH_LIMITS.nameBytes} bytes`);
    }
  }
  return names;
}

/** What staging areas and archives put in front of a path at most, with room to spare. */
const PREFIX_LIMITS = { pathBytes: 512, depth: 8 } as const;

/** Whether what is at this path can be put back by its path, wherever it is staged meanwhile. A guest may nest deeper. */
export function canBePutBack(path: string): boolean {
  return (
    Buffer.byteLength(path) <= PATH_LIMITS.pathBytes - PREFIX_LIMITS.pathBytes &&
    path.split('/').length <= PATH_LIMITS.depth - PREFIX_LIMITS.depth
  );
}

export interface WalkOptions {
  /** Makes the directories that are missing, with this mode. */
  readonly makeMode?: number;
  /** Whether those are on disk when it resolves; default false. */
  readonly sync?: boolean;
}

/**
 * Goes from a directory to what the names lead to and pins that. Everything but the last must be a directory; no link is
 * followed. Lets go of `start`.
 */
export async function walk(start: Pin, names: readonly string[], options: WalkOptions = {}): Promise<Pin> {
  let pin = start;
  for (const name of names) {
    await using parent = pin;
    parent.assertDirectory();
    pin = (await childIfThere(parent, name, options)) ?? (await parent.child(name));
  }
  return pin;
}

/** Undefined for one that was missing and has been made. */
async function childIfThere(parent: Pin, name: string, { makeMode, sync }: WalkOptions): Promise<Pin | undefined> {
  try {
    return await parent.child(name);
  } catch (error) {
    if (makeMode === undefined || errnoOf(error) !== 'ENOENT') throw error;
  }
  const isNew = await succeeds(mkdir(parent.at(name), { mode: makeMode }), ['EEXIST']);
  if (isNew && sync === true) await syncFolder(parent.path);
  return undefined;
}

/** At most `limit` names in a directory, as bytes: a guest may use names that are not valid UTF-8. */
export async function namesIn(directory: Pin, limit: number): Promise<Buffer[]> {
  const names: Buffer[] = [];
  // Latin-1 maps every byte to one character and back.
  for await (const entry of await opendir(directory.path, { encoding: 'latin1' })) {
    if (names.push(Buffer.from(entry.name, 'latin1')) >= limit) break;
  }
  return names;
}

const REASONS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOENT: ['not_found', 'there is no such file or folder'],
  ENOTDIR: ['invalid_state', 'a folder on the way to it is not a folder'],
  EISDIR: ['invalid_state', 'it is a folder'],
  EACCES: ['storage_failed', 'the host may not access it'],
  EPERM: ['storage_failed', 'the host may not access it'],
  ENOTEMPTY: ['invalid_state', 'a folder that holds something is there'],
  EEXIST: ['invalid_state', 'something is there already'],
  EINVAL: ['invalid_argument', 'a folder cannot go into itself'],
  EXDEV: ['invalid_argument', 'the two are on different file systems'],
  ENOSPC: ['storage_full', 'there is no room for more, in bytes or in number of files'],
  EDQUOT: ['storage_full', 'the disk quota is used up'],
  EFBIG: ['storage_full', 'a file cannot be as large'],
};

/** A failure inside the gate, said as `<subject>: <reason>`. No host path gets into the message; `cause` has it. */
export function explainGateError(subject: string, error: unknown): WorkcellError {
  const { code, message, details } = reasonOf(error);
  return new WorkcellError(code, `${subject}: ${message}`, { cause: error, details });
}

/** What a failure inside the gate comes down to, whatever it was explained with before. */
export function reasonOf(error: unknown): WorkcellError {
  if (isWorkcellError(error)) return error;
  const [code, reason] = REASONS[errnoOf(error)] ?? ['storage_failed', `it failed with ${errnoOf(error) || 'no code'}`];
  return new WorkcellError(code, reason, { cause: error });
}

function kindWords(stats: BigIntStats): string {
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isDirectory()) return 'a folder';
  if (stats.isFile()) return 'a file';
  if (stats.isFIFO()) return 'a named pipe';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

function invalid(reason: string): WorkcellError {
  return new WorkcellError('invalid_argument', reason);
}
