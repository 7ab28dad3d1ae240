import { chmod, chown, lchown, lstat, lutimes, stat, truncate, utimes } from 'node:fs/promises';
import type { FsAttributes } from '../../protocol/agent-messages.ts';

/** Changes what is given and leaves the rest. A link that is not followed has neither a mode nor a size to change. */
export async function setAttributes(path: string, follow: boolean, attributes: FsAttributes): Promise<void> {
  const { mode, uid, gid, size, atime, mtime } = attributes;
  const through = follow || !(await lstat(path)).isSymbolicLink();
  if (typeof size === 'number' && through) await truncate(path, size);
  if (typeof uid === 'number' || typeof gid === 'number') await (through ? chown : lchown)(path, uid ?? -1, gid ?? -1);
  // After the owner, because a change of owner clears the set-user-id bits.
  if (typeof mode === 'number' && through) await chmod(path, mode & 0o7777);
  if (typeof atime !== 'number' && typeof mtime !== 'number') return;
  const now = await (through ? stat : lstat)(path);
  await (through ? utimes : lutimes)(path, atime ?? now.atime, mtime ?? now.mtime);
}
