import { close, constants, fstat, open, read, write } from 'node:fs';
import {
  cp,
  lstat,
  mkdir,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  unlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  DATA_CHUNK_BYTES,
  encodeMessage,
  type FsAttributes,
  type FsEntryInfo,
  type FsOpenOptions,
  type FsResponseData,
} from '../../protocol/agent-messages.ts';
import type { AgentLink } from './agent-options.ts';
import { messageOfError } from './errno.ts';
import { setAttributes } from './set-attributes.ts';

const openFile = promisify(open);
const closeFile = promisify(close);
const statFile = promisify(fstat);
const readFile = promisify(read);
const writeFile = promisify(write);

interface Handle {
  readonly fd: number;
  /** The id of the request that opened it: tells whose it is. */
  readonly owner: number;
}

interface Upload {
  readonly fd: number;
  readonly expected: number | undefined;
  offset: number;
  written: number;
  tail: Promise<void>;
}

/** Files that clients look at, open, read and write. */
export class FsSessions {
  readonly #link: AgentLink;
  readonly #handles = new Map<number, Handle>();
  readonly #uploads = new Map<number, Upload>();
  #lastHandle = 0;

  constructor(link: AgentLink) {
    this.#link = link;
  }

  receive(id: number, type: string, payload: Record<string, unknown>): void {
    if (type === 'core.fs.request') void this.#request(id, payload['op']);
    else if (type === 'core.fs.data') this.#data(id, payload['data']);
  }

  forget(start: number, end: number): void {
    for (const id of this.#uploads.keys()) if (id >= start && id < end) this.#uploads.delete(id);
    for (const [handle, { fd, owner }] of this.#handles) {
      if (owner < start || owner >= end) continue;
      this.#handles.delete(handle);
      void closeFile(fd).catch(() => {});
    }
  }

  async #request(id: number, op: unknown): Promise<void> {
    try {
      const [name = '', args = {}] = Object.entries((op ?? {}) as Record<string, Record<string, unknown>>)[0] ?? [];
      const answer = await this.#perform(id, name, args);
      if (answer !== 'streaming') this.#respond(id, answer);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  async #perform(
    id: number,
    name: string,
    args: Record<string, unknown>,
  ): Promise<FsResponseData | null | 'streaming'> {
    const path = String(args['path'] ?? '');
    switch (name) {
      case 'RealPath':
        return { Path: await realpath(path) };
      case 'Stat':
        return { Stat: await describe(path, args['follow_symlink'] === true) };
      case 'SetStat':
        await setAttributes(path, args['follow_symlink'] === true, (args['attrs'] ?? {}) as FsAttributes);
        return null;
      case 'Copy':
        await cp(String(args['src']), String(args['dst']), { recursive: true });
        return null;
      case 'Symlink':
        await symlink(String(args['target']), String(args['link_path']));
        return null;
      case 'List':
        return { List: await list(path) };
      case 'ReadLink':
        return { Path: await readlink(path) };
      case 'Mkdir':
        await mkdir(path, { recursive: true, ...(typeof args['mode'] === 'number' ? { mode: args['mode'] } : {}) });
        return null;
      case 'Remove':
        await unlink(path);
        return null;
      case 'RemoveDir':
        await (args['recursive'] === true ? rm(path, { recursive: true }) : rmdir(path));
        return null;
      case 'Rename':
        await rename(String(args['src']), String(args['dst']));
        return null;
      case 'OpenFile':
        return { Handle: await this.#open(id, path, args['options'] as FsOpenOptions) };
      case 'CloseHandle':
        await this.#close(Number(args['handle']));
        return null;
      case 'Read':
        await this.#read(id, this.#fd(args['handle']), Number(args['offset'] ?? 0), optional(args['len']));
        return null;
      case 'Write':
        this.#uploads.set(id, {
          fd: this.#fd(args['handle']),
          expected: optional(args['len']),
          offset: Number(args['offset'] ?? 0),
          written: 0,
          tail: Promise.resolve(),
        });
        return 'streaming';
      default:
        throw new Error(`This agent does not know the file operation "${name}"`);
    }
  }

  async #open(id: number, path: string, options: FsOpenOptions): Promise<number> {
    const fd = await openFile(path, openFlags(options), options.mode ?? 0o644);
    if ((await statFile(fd)).isDirectory()) {
      await closeFile(fd);
      throw new Error(`"${path}" is a directory`);
    }
    this.#lastHandle += 1;
    this.#handles.set(this.#lastHandle, { fd, owner: id });
    return this.#lastHandle;
  }

  async #close(handle: number): Promise<void> {
    const fd = this.#fd(handle);
    this.#handles.delete(handle);
    await closeFile(fd);
  }

  #fd(handle: unknown): number {
    const found = this.#handles.get(Number(handle));
    if (found === undefined) throw new Error(`There is no open file with handle ${handle}`);
    return found.fd;
  }

  async #read(id: number, fd: number, offset: number, length: number | undefined): Promise<void> {
    let position = offset;
    let left = length ?? Number.POSITIVE_INFINITY;
    while (left > 0) {
      const buffer = Buffer.allocUnsafe(Math.min(left, DATA_CHUNK_BYTES));
      const { bytesRead } = await readFile(fd, buffer, 0, buffer.byteLength, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      left -= bytesRead;
      const goOn = this.#link.send(encodeMessage(id, 'core.fs.data', { data: buffer.subarray(0, bytesRead) }));
      if (!goOn) await new Promise<void>((resolve) => this.#link.onDrain(resolve));
    }
  }

  /** Chunks arrive faster than they are written; each waits for the one before it. Empty data is the end. */
  #data(id: number, data: unknown): void {
    const upload = this.#uploads.get(id);
    if (upload === undefined || !(data instanceof Uint8Array)) return;
    upload.tail = upload.tail.then(() => (data.byteLength === 0 ? this.#finish(id, upload) : append(upload, data)));
    upload.tail.catch((error) => {
      if (this.#uploads.delete(id)) this.#fail(id, error);
    });
  }

  #finish(id: number, upload: Upload): void {
    this.#uploads.delete(id);
    const { expected, written } = upload;
    if (expected === undefined || expected === written) this.#respond(id, null);
    else this.#fail(id, new Error(`${expected} bytes were announced and ${written} came`));
  }

  #respond(id: number, data: FsResponseData | null): void {
    this.#link.send(encodeMessage(id, 'core.fs.response', { ok: true, error: null, data }));
  }

  #fail(id: number, error: unknown): void {
    this.#link.send(encodeMessage(id, 'core.fs.response', { ok: false, error: messageOfError(error), data: null }));
  }
}

async function append(upload: Upload, data: Uint8Array): Promise<void> {
  for (let done = 0; done < data.byteLength; ) {
    const { bytesWritten } = await writeFile(upload.fd, data, done, data.byteLength - done, upload.offset);
    done += bytesWritten;
    upload.offset += bytesWritten;
    upload.written += bytesWritten;
  }
}

async function list(path: string): Promise<FsEntryInfo[]> {
  const entries: FsEntryInfo[] = [];
  for (const name of (await readdir(path)).sort()) {
    // Something may vanish between the listing and the look.
    const entry = await describe(join(path, name), false).catch(() => undefined);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

async function describe(path: string, follow: boolean): Promise<FsEntryInfo> {
  const info = await (follow ? stat(path) : lstat(path));
  const kind = info.isFile() ? 'file' : info.isDirectory() ? 'dir' : info.isSymbolicLink() ? 'symlink' : 'other';
  const mtime = Math.floor(info.mtimeMs / 1000);
  return {
    path,
    kind,
    size: info.size,
    mode: info.mode & 0o7777,
    modified: mtime,
    uid: info.uid,
    gid: info.gid,
    atime: Math.floor(info.atimeMs / 1000),
    mtime,
  };
}

function openFlags(options: FsOpenOptions): number {
  const access =
    options.write || options.append ? (options.read ? constants.O_RDWR : constants.O_WRONLY) : constants.O_RDONLY;
  return (
    access |
    (options.append ? constants.O_APPEND : 0) |
    (options.create || options.create_new ? constants.O_CREAT : 0) |
    (options.create_new ? constants.O_EXCL : 0) |
    (options.truncate ? constants.O_TRUNC : 0)
  );
}

function optional(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
