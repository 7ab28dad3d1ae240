import { Header, Pax } from 'tar';
import { WorkcellError } from '../core/errors.ts';

export interface TarHeader {
  readonly path: string;
  readonly type: 'file' | 'folder' | 'link';
  /** Permission bits. */
  readonly mode: number;
  readonly modifiedAt: Date;
  /** Of files: bytes of the content. */
  readonly size?: number;
  /** Of links. */
  readonly target?: string;
}

const BLOCK = 512;
/** What a header has room for without an extended one. */
const SHORT_BYTES = 99;
const TYPES = { file: 'File', folder: 'Directory', link: 'SymbolicLink' } as const;

/** The bytes that stand before the content of an entry. */
export function tarHeader({ path, type, mode, modifiedAt, size = 0, target }: TarHeader): Buffer {
  const name = type === 'folder' ? `${path}/` : path;
  const seconds = new Date(Math.floor(modifiedAt.getTime() / 1000) * 1000);
  const facts = { path: name, mode, size, mtime: seconds, type: TYPES[type], uid: 0, gid: 0 };
  const header = new Header(target === undefined ? facts : { ...facts, linkpath: target });
  const block = Buffer.alloc(BLOCK);
  const needsMore = header.encode(block, 0) || !isShort(name) || (target !== undefined && !isShort(target));
  if (!needsMore) return block;
  const long = new Pax({ path: name, size, ...(target === undefined ? {} : { linkpath: target }) });
  return Buffer.concat([long.encode(), block]);
}

/** An entry whose content is at hand. */
export function tarFile(path: string, content: string | Uint8Array, modifiedAt: Date): Buffer {
  const bytes = Buffer.from(content);
  const header = tarHeader({ path, type: 'file', mode: 0o644, modifiedAt, size: bytes.length });
  return Buffer.concat([header, bytes, tarPadding(bytes.length)]);
}

/** An entry of `size` bytes. Throws `invalid_state` when the content is something else. */
export async function* tarStream(
  header: TarHeader & { readonly size: number },
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  yield tarHeader(header);
  let left = header.size;
  for await (const chunk of content) {
    left -= chunk.length;
    if (left < 0) break;
    yield chunk;
  }
  if (left !== 0)
    throw new WorkcellError('invalid_state', `${JSON.stringify(header.path)} changed its size while it was read`);
  yield tarPadding(header.size);
}

/** What stands after the content of an entry. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** What an archive ends with. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK);
}

function isShort(text: string): boolean {
  return Buffer.byteLength(text) <= SHORT_BYTES;
}
