import { constants } from 'node:fs';
import {
  chmod,
  copyFile,
  cp,
  lstat,
  mkdir,
  open,
  opendir,
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
import { constants as system } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { FsEntryInfo, FsResponseData } from '../../protocol/agent-messages.ts';
import { errnoError } from './errno.ts';
import { describeEntry, describeListed } from './fs-entry.ts';
import type { FsHandles } from './fs-handles.ts';
import type { FsOperations } from './requests.ts';
import { setAttributes, setFileAttributes } from './set-attributes.ts';

/** Entries of one `ReadDir` when it names no limit, and those that fit into one message however long their paths are. */
const DEFAULT_PAGE = 128;
const MAX_PAGE = 512;

/** Everything but the two operations that stream. */
export type PlainOperation = Exclude<keyof FsOperations, 'Read' | 'Write'>;

interface Operation<Args> {
  /** How the original begins what it says when this fails. */
  readonly prefix: string;
  readonly perform: (args: Args, handles: FsHandles, id: number) => Promise<FsResponseData | null>;
}

export const OPERATIONS: { readonly [Name in PlainOperation]: Operation<FsOperations[Name]> } = {
  RealPath: { prefix: 'realpath', perform: async ({ path }) => ({ Path: await canonicalPath(path) }) },
  Stat: {
    prefix: 'stat',
    perform: async ({ path, follow_symlink }) => ({
      Stat: describeEntry(path, await (follow_symlink ? stat : lstat)(path)),
    }),
  },
  SetStat: {
    prefix: 'setstat',
    perform: ({ path, follow_symlink, attrs }) => none(setAttributes(path, follow_symlink, attrs)),
  },
  List: { prefix: 'readdir: opendir', perform: async ({ path }) => ({ List: await list(path) }) },
  ReadLink: { prefix: 'readlink', perform: async ({ path }) => ({ Path: await readlink(path) }) },
  Symlink: { prefix: 'symlink', perform: ({ target, link_path }) => none(symlink(target, link_path)) },
  Mkdir: { prefix: 'mkdir', perform: ({ path, mode }) => none(makeFolder(path, mode)) },
  Remove: { prefix: 'remove', perform: ({ path }) => none(unlink(path)) },
  RemoveDir: { prefix: 'remove_dir', perform: ({ path, recursive }) => none(removeFolder(path, recursive)) },
  Copy: { prefix: 'copy', perform: ({ src, dst }) => none(copy(src, dst)) },
  Rename: { prefix: 'rename', perform: ({ src, dst }) => none(rename(src, dst)) },
  OpenFile: {
    prefix: 'open',
    perform: async ({ path, options }, handles, id) => {
      const { read, write, append } = options;
      const file = await open(path, openFlags(options), options.mode ?? 0o666);
      return { Handle: await handles.add(id, { kind: 'file', file, path, read, write: write || append, append }) };
    },
  },
  OpenDir: {
    prefix: 'opendir',
    perform: async ({ path }, handles, id) => ({
      Handle: await handles.add(id, { kind: 'directory', directory: await opendir(path), path }),
    }),
  },
  CloseHandle: { prefix: 'close', perform: ({ handle }, handles, id) => none(handles.close(id, handle)) },
  ReadDir: {
    prefix: 'readdir',
    perform: async ({ handle, limit }, handles, id) => ({ List: await nextPage(handles, id, handle, limit) }),
  },
  FStat: {
    prefix: 'fstat',
    perform: async ({ handle }, handles, id) => {
      const entry = handles.get(id, handle);
      const info = await (entry.kind === 'file' ? entry.file.stat() : stat(entry.path));
      return { Stat: describeEntry(entry.path, info) };
    },
  },
  FSetStat: {
    prefix: 'fsetstat',
    perform: async ({ handle, attrs }, handles, id) => none(setFileAttributes(handles.file(id, handle).file, attrs)),
  },
};

async function none(done: Promise<unknown>): Promise<null> {
  await done;
  return null;
}

/** The last part need not be there. */
async function canonicalPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = await realpath(dirname(path)).catch(() => undefined);
    if (parent === undefined) throw error;
    return join(parent, basename(path));
  }
}

async function list(path: string): Promise<FsEntryInfo[]> {
  const entries: FsEntryInfo[] = [];
  for (const name of (await readdir(path)).sort()) entries.push(await describeListed(join(path, name)));
  return entries;
}

/** An empty page is the last one. */
async function nextPage(
  handles: FsHandles,
  id: number,
  handle: number,
  limit: number = DEFAULT_PAGE,
): Promise<FsEntryInfo[]> {
  const { directory, path } = handles.directory(id, handle);
  const entries: FsEntryInfo[] = [];
  while (entries.length < Math.max(1, Math.min(limit, MAX_PAGE))) {
    const entry = await directory.read();
    if (entry === null) break;
    entries.push(await describeListed(join(path, entry.name)));
  }
  return entries;
}

async function makeFolder(path: string, mode: number | undefined): Promise<void> {
  await mkdir(path, { recursive: true });
  if (mode !== undefined) await chmod(path, mode & 0o7777);
}

async function removeFolder(path: string, recursive: boolean): Promise<void> {
  // A file is no folder, however it is to be removed.
  if (recursive && !(await lstat(path)).isFile()) await rm(path, { recursive: true });
  else await rmdir(path);
}

/** Reading from a device or a pipe need not come to an end. */
async function copy(source: string, target: string): Promise<void> {
  const info = await stat(source);
  if (info.isDirectory()) await cp(source, target, { recursive: true });
  else if (info.isFile()) await copyFile(source, target);
  else throw errnoError(system.errno.EINVAL);
}

/** Combinations that mean nothing are refused as the original's library does. */
function openFlags({ read, write, append, create, truncate, create_new }: FsOperations['OpenFile']['options']): number {
  const writes = write || append;
  if (!read && !writes) throw errnoError(system.errno.EINVAL);
  if (!writes && (create || create_new || truncate)) throw errnoError(system.errno.EINVAL);
  if (append && truncate && !create_new) throw errnoError(system.errno.EINVAL);
  const access = !writes ? constants.O_RDONLY : read ? constants.O_RDWR : constants.O_WRONLY;
  return (
    access |
    // Opening a pipe would wait for somebody at its other end.
    constants.O_NONBLOCK |
    (append ? constants.O_APPEND : 0) |
    (create || create_new ? constants.O_CREAT : 0) |
    (create_new ? constants.O_EXCL : 0) |
    (truncate && !create_new ? constants.O_TRUNC : 0)
  );
}
