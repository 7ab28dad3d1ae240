import { constants } from 'node:fs';
import { chmod, chown, type FileHandle, lchown, lstat, lutimes, open, stat, utimes } from 'node:fs/promises';
import type { FsAttributesRequest } from './requests.ts';

/** Changes what is given and leaves the rest; a link that is not followed has no mode of its own. */
export async function setAttributes(path: string, follow: boolean, attributes: FsAttributesRequest): Promise<void> {
  const { mode, uid, gid, size, atime, mtime } = attributes;
  const link = !follow && (await lstat(path)).isSymbolicLink();
  if (size !== undefined) await resize(path, size);
  // Before the mode, because a change of owner clears the set-user-id bits.
  if (uid !== undefined || gid !== undefined) await (link ? lchown : chown)(path, uid ?? -1, gid ?? -1);
  if (mode !== undefined) {
    if (link) throw new Error('chmod on symlink without following is not supported');
    await chmod(path, mode & 0o7777);
  }
  if (atime === undefined && mtime === undefined) return;
  const now = await (link ? lstat : stat)(path);
  await (link ? lutimes : utimes)(path, atime ?? now.atime, mtime ?? now.mtime);
}

/** The same for an open file. */
export async function setFileAttributes(file: FileHandle, attributes: FsAttributesRequest): Promise<void> {
  const { mode, uid, gid, size, atime, mtime } = attributes;
  if (size !== undefined) await file.truncate(size);
  const before = await file.stat();
  if (uid !== undefined || gid !== undefined) await file.chown(uid ?? before.uid, gid ?? before.gid);
  if (mode !== undefined) await file.chmod(mode & 0o7777);
  if (atime !== undefined || mtime !== undefined) await file.utimes(atime ?? before.atime, mtime ?? before.mtime);
}

async function resize(path: string, size: number): Promise<void> {
  // Opening a pipe would wait for somebody at its other end.
  const file = await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    await file.truncate(size);
  } finally {
    await file.close();
  }
}
