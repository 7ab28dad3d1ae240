import { randomBytes } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open, rename, unlink } from 'node:fs/promises';
import { pipeline, Readable, Transform } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { WorkcellError } from '../core/errors.ts';
import { formatSize } from '../core/units.ts';
import { errnoOf, succeeds } from './errno.ts';
import { namesIn, type Pin } from './path-gate.ts';

export interface EntryInfo {
  readonly kind: 'file' | 'directory' | 'symlink' | 'other';
  /** Bytes. */
  readonly size: number;
  /** Bytes that it takes of the disk; fewer than the size where there are holes. */
  readonly allocated: number;
  /** Permission bits. */
  readonly mode: number;
  /** Owner and group, by number. */
  readonly uid: number;
  readonly gid: number;
  readonly modifiedAt: Date;
  readonly accessedAt: Date;
  readonly createdAt: Date;
  /** When content or attributes changed last, which nobody can set, in nanoseconds of the file system's clock. */
  readonly changedNs: bigint;
  /** Differs for each state of each entry, as far as the file system's clock tells changes apart. */
  readonly version: string;
}

export interface ListedEntry extends EntryInfo {
  readonly name: string;
  /** False for a name that is not valid UTF-8: it is shown with U+FFFD, and leads to nothing or to another entry. */
  readonly isReachable: boolean;
}

export interface Listing {
  /** Sorted by name. */
  readonly entries: readonly ListedEntry[];
  /** True when there are more than `maxEntries`; which ones are missing is up to the file system. */
  readonly truncated: boolean;
}

export interface ByteRange {
  /** The first byte, from 0. */
  readonly start: number;
  /** The last byte. */
  readonly end: number;
}

export interface OpenedFile {
  /** Bytes that the stream will give; it fails when the file is cut shorter meanwhile. */
  readonly size: number;
  /** Of the very file that is open. */
  readonly info: EntryInfo;
  /** Must be read to its end or destroyed. */
  readonly stream: Readable;
}

export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface WriteOptions {
  /** Permission bits. Default: those of the file that is replaced, 0644 for a new one. */
  readonly mode?: number | undefined;
  /** Default: now. */
  readonly modifiedAt?: Date | undefined;
  /** Called with what is there right before it is replaced; what it throws keeps that in place. */
  readonly check?: ((current: EntryInfo | undefined) => void) | undefined;
  /** False leaves it to the caller that what was written reaches the disk. Default true. */
  readonly sync?: boolean | undefined;
  /** Waits a moment at the end, where that makes the version that is given a reliable one. Default false. */
  readonly settled?: boolean | undefined;
  /** Runs the check and the replacement, when nobody else does. Default: at once. */
  readonly commit?: (<T>(work: () => Promise<T>) => Promise<T>) | undefined;
}

const FILE_MODE = 0o644;
/** What stat(2) counts in, whatever the file system has. */
const BLOCK_BYTES = 512;
/** Fewer bytes of holes are not worth a thought. */
const MIN_HOLES_BYTES = 1024 * 1024;
const TEMPORARY = /^\.workcell-[0-9a-f]{16}\.tmp$/;

/** Whether a name is one that the host gives to what is being written or removed; a crash leaves such files behind. */
export function isTemporary(name: string): boolean {
  return TEMPORARY.test(name);
}

export function temporaryName(): string {
  return `.workcell-${randomBytes(8).toString('hex')}.tmp`;
}

/** Longer than the clock of file times stands still: a change that comes later has a later time. */
const TICK_MS = 12;
const SETTLE_ATTEMPTS = 5;
const READ_BYTES = 64 * 1024;

/**
 * What is told of an entry when it has been left alone for a moment, so that its version cannot stay the same through the next
 * change. For one that changes all the time the version is one that no other state has.
 */
export async function settledInfo(stat: () => Promise<BigIntStats>): Promise<EntryInfo> {
  for (let attempt = 1; ; attempt++) {
    const info = infoOf(await stat());
    if (isSettled(info)) return info;
    if (attempt === SETTLE_ATTEMPTS) return { ...info, version: `${info.version}-${randomBytes(6).toString('hex')}` };
    await setTimeout(TICK_MS);
  }
}

/** Whether any change from here on gives the entry another version. */
export function isSettled({ changedNs }: EntryInfo): boolean {
  return Math.abs(Date.now() - Number(changedNs / 1_000_000n)) > TICK_MS;
}

export async function readPinned(pin: Pin, maxBytes: number): Promise<Buffer> {
  await using file = await open(pin.path, constants.O_RDONLY);
  // One byte more than allowed tells a file that is too large, also one that grows while it is read.
  let buffer = Buffer.allocUnsafe(Math.min(Number(pin.stats.size), maxBytes) + 1);
  for (let size = 0; ; ) {
    const { bytesRead } = await file.read(buffer, size, buffer.length - size, size);
    size += bytesRead;
    if (bytesRead === 0) return buffer.subarray(0, size);
    if (size > maxBytes)
      throw new WorkcellError('invalid_state', `it has more than the ${formatSize(maxBytes)} allowed`);
    if (size === buffer.length) buffer = Buffer.concat([buffer], Math.min(size + READ_BYTES, maxBytes + 1));
  }
}

/** Whether it takes far less of the disk than a copy of its bytes would. */
export function hasHoles({ size, allocated }: EntryInfo): boolean {
  return size - allocated >= MIN_HOLES_BYTES;
}

/** `choose` gives the bytes to read, undefined for all; what it throws, this throws. */
export async function openPinned(pin: Pin, choose?: (info: EntryInfo) => ByteRange | undefined): Promise<OpenedFile> {
  const file = await open(pin.path, constants.O_RDONLY);
  try {
    // One that grows meanwhile is read up to where it ended when it was opened.
    const stat = () => file.stat({ bigint: true });
    const info = choose === undefined ? infoOf(await stat()) : await settledInfo(stat);
    const { start, end } = choose?.(info) ?? { start: 0, end: info.size - 1 };
    const size = end - start + 1;
    if (size > 0) return { size, info, stream: readExactly(file, start, size) };
    await file.close();
    return { size, info, stream: Readable.from([]) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

export async function replaceIn(
  folder: Pin,
  name: string,
  data: FileContent,
  options: WriteOptions = {},
): Promise<EntryInfo> {
  const temporary = folder.at(temporaryName());
  try {
    await using file = await open(temporary, 'wx', FILE_MODE);
    await file.writeFile(data);
    const before = await statIfThere(folder.at(name));
    await setAttributes(file, before?.isFile() === true ? before : undefined, options);
    if (options.sync !== false) await file.sync();
    await (options.commit ?? ((work) => work()))(async () => {
      const current = await statIfThere(folder.at(name));
      options.check?.(current === undefined ? undefined : infoOf(current));
      await rename(temporary, folder.at(name));
    });
    if (options.sync !== false) await syncFolder(folder);
    const stat = () => file.stat({ bigint: true });
    return options.settled === true ? await settledInfo(stat) : infoOf(await stat());
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

export async function syncFolder(folder: Pin): Promise<void> {
  await using directory = await open(folder.path, constants.O_RDONLY | constants.O_DIRECTORY);
  await directory.sync();
}

export async function listPinned(folder: Pin, maxEntries: number): Promise<Listing> {
  const names = await namesIn(folder, maxEntries + 1);
  const entries = await Array.fromAsync(eachPinned(folder, names.slice(0, maxEntries)));
  return { entries, truncated: names.length > maxEntries };
}

/** Entries of a folder by name, from the name `from` on; each is looked at when it is asked for. */
export async function* eachPinned(folder: Pin, names: readonly Buffer[], from = ''): AsyncGenerator<ListedEntry, void> {
  const wanted = names.map((name) => ({ name, text: name.toString('utf8') })).filter(({ text }) => text >= from);
  wanted.sort((a, b) => (a.text < b.text ? -1 : 1));
  for (const { name, text } of wanted) {
    const stats = await statIfThere(folder.at(name));
    if (stats !== undefined) yield { name: text, isReachable: Buffer.from(text).equals(name), ...infoOf(stats) };
  }
}

export async function statIfThere(path: Buffer): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export function infoOf(stats: BigIntStats): EntryInfo {
  const { size, blocks, mode, uid, gid, mtime, atime, birthtime, ino, ctimeNs } = stats;
  return {
    kind: kindOf(stats),
    size: Number(size),
    allocated: Number(blocks) * BLOCK_BYTES,
    mode: Number(mode) & 0o7777,
    uid: Number(uid),
    gid: Number(gid),
    modifiedAt: mtime,
    accessedAt: atime,
    createdAt: birthtime,
    changedNs: ctimeNs,
    version: `${ino.toString(36)}-${ctimeNs.toString(36)}-${size.toString(36)}`,
  };
}

export function kindOf(stats: BigIntStats): EntryInfo['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}

/** Fails where the file ends before the bytes do. */
function readExactly(file: FileHandle, start: number, size: number): Readable {
  let left = size;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length;
      done(null, chunk);
    },
    flush(done) {
      done(left > 0 ? new WorkcellError('invalid_state', 'A file became shorter while it was read') : null);
    },
  });
  // Whoever destroys the stream that is given closes the file; failures are the reader's to see.
  return pipeline(file.createReadStream({ start, end: start + size - 1 }), counted, () => {});
}

async function setAttributes(file: FileHandle, like: BigIntStats | undefined, options: WriteOptions): Promise<void> {
  // An ordinary user cannot give files away; the content matters more than the owner.
  if (like !== undefined) await succeeds(file.chown(Number(like.uid), Number(like.gid)), ['EPERM']);
  const mode = options.mode ?? (like === undefined ? undefined : Number(like.mode));
  if (mode !== undefined) await file.chmod(mode & 0o777);
  if (options.modifiedAt !== undefined) await file.utimes(new Date(), options.modifiedAt);
}
