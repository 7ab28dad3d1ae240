/**
 * Records what a process does to the files below a folder, in the order in which it does it: `node --import record-writes.ts`, with
 * the folder in RECORD_BELOW and the file for the record in RECORD_TO. What is recorded is there when the process is killed.
 */
import fs from 'node:fs';
import promises, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname, join } from 'node:path';
import type { Recorded } from './recorded.ts';

const below = String(process.env['RECORD_BELOW']);
const to = fs.openSync(String(process.env['RECORD_TO']), 'a');
const original = { ...promises };
const prototype = Object.getPrototypeOf(await promises.open(process.execPath)) as FileHandle;
const handles = { ...methodsOf('write'), ...methodsOf('writeFile'), ...methodsOf('truncate') };
const { sync, datasync } = prototype;
/** Where the next write of a handle goes that is not said to go elsewhere. */
const positions = new WeakMap<FileHandle, number | 'end'>();
let last = 0;

function methodsOf<Name extends 'write' | 'writeFile' | 'truncate'>(name: Name) {
  return { [name]: prototype[name] } as Pick<FileHandle, Name>;
}

function record(entry: Recorded): void {
  fs.writeSync(to, `${JSON.stringify(entry)}\n`);
}

/** Tells the record that something was acknowledged. */
(globalThis as { [key: symbol]: unknown })[Symbol.for('test.acknowledged')] = (what: unknown) =>
  record({ op: 'ack', what });

/** Undefined for what lies elsewhere. */
function placeOf(
  path: unknown,
): { readonly directory: number; readonly name: string; readonly path: string } | undefined {
  const directory = fs.realpathSync(dirname(String(path)));
  if (!`${directory}/`.startsWith(`${below}/`)) return undefined;
  const name = basename(String(path));
  return { directory: fs.statSync(directory).ino, name, path: join(directory, name) };
}

function inodeOf(handle: FileHandle): number | undefined {
  const path = fs.readlinkSync(`/proc/self/fd/${handle.fd}`);
  return path.startsWith(`${below}/`) || path === below ? fs.fstatSync(handle.fd).ino : undefined;
}

async function during<T>(entry: Recorded | undefined, work: () => Promise<T>): Promise<T> {
  if (entry === undefined) return await work();
  last += 1;
  const id = last;
  record({ ...entry, id });
  const done = await work();
  record({ op: 'end', id });
  return done;
}

Object.assign(promises, {
  open: async (path: string, flags?: string | number, mode?: number) => {
    const wasThere = fs.existsSync(path);
    const handle = await original.open(path, flags, mode);
    const number = typeof flags === 'number' ? flags : 0;
    const appends = (number & fs.constants.O_APPEND) !== 0 || String(flags).startsWith('a');
    positions.set(handle, appends ? 'end' : 0);
    const inode = inodeOf(handle);
    if (inode === undefined) return handle;
    const place = placeOf(path);
    if (!wasThere && place !== undefined) record({ op: 'create', kind: 'file', ...place, inode });
    if (String(flags).startsWith('w') || (number & fs.constants.O_TRUNC) !== 0)
      record({ op: 'truncate', inode, size: 0 });
    return handle;
  },
  writeFile: async (...args: Parameters<typeof promises.writeFile>) => {
    const place = typeof args[0] === 'string' || Buffer.isBuffer(args[0]) ? placeOf(args[0]) : undefined;
    const wasThere = place !== undefined && fs.existsSync(place.path);
    await original.writeFile(...args);
    if (place !== undefined && !wasThere)
      record({ op: 'create', kind: 'file', ...place, inode: fs.statSync(place.path).ino });
  },
  mkdir: async (path: string, options?: fs.MakeDirectoryOptions) => {
    const missing: string[] = [];
    for (let each = String(path); !fs.existsSync(each); each = dirname(each)) missing.unshift(each);
    const made = await original.mkdir(path, options);
    for (const each of missing) {
      const place = placeOf(each);
      if (place !== undefined) record({ op: 'create', kind: 'directory', ...place, inode: fs.statSync(each).ino });
    }
    return made;
  },
  rename: async (from: string, target: string) => {
    const [source, place] = [placeOf(from), placeOf(target)];
    const inode = fs.lstatSync(from).ino;
    const entry = source && place && ({ op: 'rename', from: source, ...place, inode } as const);
    await during(entry, () => original.rename(from, target));
  },
  link: async (from: string, target: string) => {
    const place = placeOf(target);
    await original.link(from, target);
    if (place !== undefined) record({ op: 'create', kind: 'link', ...place, inode: fs.statSync(target).ino });
  },
  unlink: async (path: string) => {
    const place = placeOf(path);
    await during(place && { op: 'remove', ...place }, () => original.unlink(path));
  },
  rmdir: async (path: string) => {
    const place = placeOf(path);
    await during(place && { op: 'remove', ...place }, () => original.rmdir(path));
  },
});

Object.assign(prototype, {
  async write(this: FileHandle, data: Uint8Array | string, ...rest: never[]) {
    const [offset = 0, length] = rest as unknown as readonly (number | undefined)[];
    const whole = Buffer.from(data as string);
    const bytes =
      typeof data === 'string' ? whole : whole.subarray(offset, length === undefined ? undefined : offset + length);
    return await during(writing(this, bytes), () => handles.write.call(this, data as never, ...rest));
  },
  async writeFile(this: FileHandle, data: unknown, ...rest: never[]) {
    if (typeof data !== 'string' && !ArrayBuffer.isView(data)) throw new Error('A stream is written: record it, too');
    const bytes = Buffer.from(data as string);
    return await during(writing(this, bytes), () => handles.writeFile.call(this, data as never, ...rest));
  },
  async truncate(this: FileHandle, size = 0) {
    const inode = inodeOf(this);
    await during(inode === undefined ? undefined : { op: 'truncate', inode, size }, () =>
      handles.truncate.call(this, size),
    );
  },
  async sync(this: FileHandle) {
    await syncing(this, () => sync.call(this));
  },
  async datasync(this: FileHandle) {
    await syncing(this, () => datasync.call(this));
  },
});

function writing(handle: FileHandle, bytes: Buffer): Recorded | undefined {
  const inode = inodeOf(handle);
  const at = positions.get(handle) ?? 0;
  if (at !== 'end') positions.set(handle, at + bytes.length);
  return inode === undefined ? undefined : { op: 'write', inode, at, data: bytes.toString('base64') };
}

async function syncing(handle: FileHandle, work: () => Promise<void>): Promise<void> {
  const inode = inodeOf(handle);
  await during(inode === undefined ? undefined : { op: 'sync', inode }, work);
}

syncBuiltinESMExports();
