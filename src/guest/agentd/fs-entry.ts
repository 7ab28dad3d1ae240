import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import type { FsEntryInfo } from '../../protocol/agent-messages.ts';

export function describeEntry(path: string, info: Stats): FsEntryInfo {
  const kind = info.isFile() ? 'file' : info.isDirectory() ? 'dir' : info.isSymbolicLink() ? 'symlink' : 'other';
  const mtime = Math.floor(info.mtimeMs / 1000);
  return {
    path,
    kind,
    size: info.size,
    mode: info.mode,
    modified: mtime,
    uid: info.uid,
    gid: info.gid,
    atime: Math.floor(info.atimeMs / 1000),
    mtime,
  };
}

/** Does not follow links. Something may vanish between the listing and the look; it is listed all the same. */
export async function describeListed(path: string): Promise<FsEntryInfo> {
  try {
    return describeEntry(path, await lstat(path));
  } catch {
    return { path, kind: 'other', size: 0, mode: 0, modified: null, uid: 0, gid: 0, atime: null, mtime: null };
  }
}
