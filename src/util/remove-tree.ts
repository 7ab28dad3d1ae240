import { chmod, rename, rmdir, unlink } from 'node:fs/promises';
import { WorkcellError } from '../core/errors.ts';
import { succeeds } from './errno.ts';
import { namesIn, PATH_LIMITS, type Pin } from './path-gate.ts';
import { temporaryName } from './pinned-files.ts';

/** What one removal takes away at most, so that a guest that keeps adding cannot hold it up for ever. */
const MAX_REMOVED = 1_000_000;
const BATCH = 1_000;

/**
 * Takes away an entry of `folder`: a file, a link (not what it leads to), or a folder with everything in it, however deep,
 * also what a guest closed to its owner. Throws `busy` when a guest adds faster than this removes.
 */
export async function removeTree(folder: Pin, name: string): Promise<void> {
  let removed = 0;
  const deep = [name];
  for (let next = deep.pop(); next !== undefined; next = deep.pop()) await removeEntry(folder, Buffer.from(next), 0);

  async function removeEntry(parent: Pin, entry: Buffer, depth: number): Promise<void> {
    if (++removed > MAX_REMOVED) throw new WorkcellError('busy', `it holds more than ${MAX_REMOVED} files`);
    if (depth > PATH_LIMITS.depth) return await bringUp(parent, entry);
    // A guest may turn a file into a folder and back, or add to an emptied folder, between two looks.
    for (let attempt = 0; attempt < 10; attempt++) {
      if (await succeeds(unlink(parent.at(entry)), ['EISDIR', 'EPERM'])) return;
      await using child = await parent.child(entry);
      if (!child.stats.isDirectory()) continue;
      await emptyFolder(child, depth + 1);
      if (await succeeds(rmdir(parent.at(entry)), ['ENOTEMPTY', 'ENOTDIR'])) return;
    }
    throw new WorkcellError('busy', 'something was added to it meanwhile');
  }

  /** Every level on the way down holds a descriptor, so what lies too deep is moved to the top first. */
  async function bringUp(parent: Pin, entry: Buffer): Promise<void> {
    const top = temporaryName();
    await rename(parent.at(entry), folder.at(top));
    deep.push(top);
  }

  async function emptyFolder(parent: Pin, depth: number): Promise<void> {
    // Where the mode cannot be changed, the removal itself says so.
    await chmod(parent.path, 0o700).catch(() => {});
    for (let names = await namesIn(parent, BATCH); names.length > 0; names = await namesIn(parent, BATCH)) {
      for (const entry of names) await succeeds(removeEntry(parent, entry, depth), ['ENOENT']);
    }
  }
}
