/**
 * Reads tar archives that strangers made, as a stream.
 *
 * What it defends: memory, and the reader's idea of what is where. Everything that has two readings is refused, since the next
 * program may choose the other: a header with a wrong checksum, a field that is no number, sparse files, an extended header
 * that is not what its length says. Sizes are checked before anything is read; nothing here touches the file system.
 */
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Header } from 'tar';
import { WorkcellError } from '../core/errors.ts';
import { formatSize } from '../core/units.ts';
import { ByteSource } from './byte-source.ts';

export interface TarLimits {
  /** Of all files together, unpacked. */
  readonly bytes: number;
  readonly entries: number;
}

interface TarEntryBase {
  /** As the archive has it, less a leading `./` and a trailing `/`; it may be anything, also absolute. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly modifiedAt: Date;
}

export type TarEntry =
  | (TarEntryBase & {
      readonly type: 'file';
      readonly size: number;
      /** What is not read of it before the next entry is asked for is skipped. */
      readonly content: AsyncIterable<Uint8Array>;
    })
  | (TarEntryBase & { readonly type: 'folder' })
  | (TarEntryBase & { readonly type: 'link'; readonly target: string });

const BLOCK = 512;
/** Of the headers that say more of one entry, together. */
const MAX_EXTENDED_BYTES = 64 * 1024;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What extended headers say of the next entry. */
type Extended = Readonly<Record<string, string>>;

/**
 * The entries of a tar archive, plain or compressed with gzip, in their order. Throws `invalid_argument`, naming the entry, for
 * what is neither a file, a folder nor a symbolic link, for an archive that is damaged or ends early, and beyond the limits.
 */
export async function* readTar(archive: AsyncIterable<Uint8Array>, limits: TarLimits): AsyncGenerator<TarEntry, void> {
  const source = await decompress(new ByteSource(archive));
  let extended: Extended = {};
  let extendedBytes = 0;
  let bytes = 0;
  let entries = 0;
  try {
    for (;;) {
      const block = await source.read(BLOCK);
      if (block.length < BLOCK) throw invalid('it ends in the middle; send it whole');
      if (block.every((byte) => byte === 0)) return;
      const header = decodeHeader(block);
      const { typeKey, size } = header;
      if (typeKey === 'x' || typeKey === 'L' || typeKey === 'K' || typeKey === 'g') {
        extendedBytes += size;
        if (extendedBytes > MAX_EXTENDED_BYTES)
          throw entryError(header.path, `its headers are more than the ${formatSize(MAX_EXTENDED_BYTES)} allowed`);
        const data = await readPadded(source, size);
        // What is said of all entries is nothing that is wanted here, but must not be without bound.
        if (typeKey !== 'g') extended = { ...extended, ...decodeExtended(typeKey, data, header.path) };
        continue;
      }
      if (++entries > limits.entries) throw invalid(`it has more than the ${limits.entries} entries allowed`);
      const entry = applyExtended(header, extended);
      extended = {};
      extendedBytes = 0;
      const base = { path: tidy(entry.path), mode: entry.mode & 0o777, modifiedAt: entry.modifiedAt };
      switch (typeKey) {
        case '0':
        case '7':
          bytes += entry.size;
          if (bytes > limits.bytes)
            throw entryError(entry.path, `with it there are more than the ${formatSize(limits.bytes)} allowed`);
          yield* readFileEntry(source, { ...base, type: 'file', size: entry.size });
          break;
        case '5':
          yield { ...base, type: 'folder' };
          break;
        case '2':
          if (entry.linkpath === '') throw entryError(entry.path, 'it is a link that leads nowhere');
          yield { ...base, type: 'link', target: entry.linkpath };
          break;
        default:
          throw entryError(entry.path, `it is ${KINDS[typeKey] ?? 'of an unknown kind'}; leave it out`);
      }
    }
  } finally {
    await source.close();
  }
}

const KINDS: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '3': 'a device',
  '4': 'a device',
  '6': 'a named pipe',
  S: 'a sparse file',
};

/** Plain bytes, from plain bytes or those of gzip, told by how they begin. */
async function decompress(source: ByteSource): Promise<ByteSource> {
  const start = await source.read(2);
  source.unread(start);
  if (start[0] !== 0x1f || start[1] !== 0x8b) return source;
  // The failure reaches whoever reads; here it would only be told twice.
  return new ByteSource(explained(pipeline(Readable.from(source.remaining()), createGunzip(), () => {})));
}

async function* explained(plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  try {
    yield* plain;
  } catch (cause) {
    if (String((cause as NodeJS.ErrnoException).code).startsWith('Z_'))
      throw new WorkcellError('invalid_argument', 'The archive is not valid: its compression is damaged', { cause });
    throw cause;
  }
}

interface RawHeader {
  readonly path: string;
  readonly typeKey: string;
  readonly size: number;
  readonly mode: number;
  readonly modifiedAt: Date;
  readonly linkpath: string;
}

function decodeHeader(block: Buffer): RawHeader {
  try {
    UTF8.decode(block.subarray(0, 100));
    const { path = '', typeKey, size, mode, mtime, linkpath = '', cksumValid } = new Header(block);
    if (!cksumValid) throw invalid('a header in it has the wrong checksum');
    if (size === undefined || !Number.isSafeInteger(size)) throw entryError(path, 'its size is not a number');
    return { path, typeKey, size, mode: mode ?? 0o644, modifiedAt: validDate(mtime), linkpath };
  } catch (cause) {
    if (cause instanceof WorkcellError) throw cause;
    throw new WorkcellError('invalid_argument', 'The archive is not valid: a header in it cannot be read', { cause });
  }
}

async function readPadded(source: ByteSource, size: number): Promise<Buffer> {
  const padded = await source.read(Math.ceil(size / BLOCK) * BLOCK);
  if (padded.length < size) throw invalid('it ends in the middle; send it whole');
  return padded.subarray(0, size);
}

/** https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_03, and the long names of GNU tar. */
function decodeExtended(type: 'x' | 'L' | 'K', data: Buffer, name: string): Extended {
  try {
    if (type !== 'x') return { [type === 'L' ? 'path' : 'linkpath']: UTF8.decode(data).replace(/\0+$/, '') };
    return decodeRecords(data);
  } catch (cause) {
    throw new WorkcellError('invalid_argument', entryError(name, 'its extended header is damaged').message, { cause });
  }
}

/** Records of `<length> <key>=<value>\n`; the length counts all of it. */
function decodeRecords(data: Buffer): Extended {
  const records: Record<string, string> = Object.create(null);
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const digits = data.toString('latin1', at, space);
    const end = at + Number(digits);
    if (space < 0 || !/^[1-9]\d{0,5}$/.test(digits) || end > data.length || data[end - 1] !== 0x0a)
      throw new Error('a record is not as long as it says');
    const key = data.toString('latin1', space + 1, end - 1).split('=', 1)[0] ?? '';
    if (key.startsWith('GNU.sparse.')) throw new Error('sparse files are not supported');
    // Others than these may hold bytes that are no text.
    if (['path', 'linkpath', 'size', 'mtime'].includes(key))
      records[key] = UTF8.decode(data.subarray(space + 2 + key.length, end - 1));
    at = end;
  }
  return records;
}

function applyExtended(header: RawHeader, extended: Extended): RawHeader {
  const { path = header.path, linkpath = header.linkpath, size, mtime } = extended;
  if (size !== undefined && !/^\d{1,15}$/.test(size)) throw entryError(path, 'its size is not a number');
  return {
    ...header,
    path,
    linkpath,
    size: size === undefined || header.typeKey === '5' ? header.size : Number(size),
    modifiedAt: mtime === undefined ? header.modifiedAt : validDate(new Date(Number(mtime) * 1000)),
  };
}

async function* readFileEntry(
  source: ByteSource,
  file: TarEntryBase & { readonly type: 'file'; readonly size: number },
): AsyncGenerator<TarEntry, void> {
  let left = file.size;
  const content = (async function* () {
    // One at a time from the source, so that whoever stops in the middle leaves the rest to be skipped.
    while (left > 0) {
      for await (const part of source.portion(left)) {
        left -= part.length;
        yield part;
      }
      if (left > 0) throw entryError(file.path, 'the archive ends in the middle of it; send it whole');
    }
  })();
  yield { ...file, content };
  for await (const part of source.portion(left)) left -= part.length;
  const padding = (BLOCK - (file.size % BLOCK)) % BLOCK;
  if (left > 0 || (await source.read(padding)).length < padding)
    throw entryError(file.path, 'the archive ends in the middle of it; send it whole');
}

/** `./a/b/` is `a/b`, and `./` the folder itself. */
function tidy(path: string): string {
  return path.replace(/^(?:\.\/+)+/, '').replace(/(?<=[^/])\/+$/, '');
}

function validDate(date: Date | undefined): Date {
  return date === undefined || Number.isNaN(date.getTime()) ? new Date(0) : date;
}

function invalid(reason: string): WorkcellError {
  return new WorkcellError('invalid_argument', `The archive is not valid: ${reason}`);
}

/** A failure that names the entry it is about. */
export function entryError(path: string, reason: string, cause?: unknown): WorkcellError {
  const entry = path.slice(0, 200);
  const message = `The archive is refused for its entry ${JSON.stringify(entry)}: ${reason}`;
  return new WorkcellError('invalid_argument', message, { cause, details: { entry } });
}
