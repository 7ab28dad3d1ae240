import { chmod, rename } from 'node:fs/promises';
import { succeeds } from './errno.ts';
import { namesIn, type Pin } from './path-gate.ts';

const BATCH = 1_000;

/**
 * Moves everything that one folder holds into another on the same file system: any number of entries, whatever their names are
 * and whatever a guest has closed.
 */
export async function moveContents(from: Pin, to: Pin): Promise<void> {
  for (let names = await namesIn(from, BATCH); names.length > 0; names = await namesIn(from, BATCH))
    for (const name of names)
      if (!(await succeeds(rename(from.at(name), to.at(name)), ['EACCES']))) await moveClosed(from, to, name);
}

/** A folder says where it lies, so that one that its owner may not write to cannot be moved. */
async function moveClosed(from: Pin, to: Pin, name: Buffer): Promise<void> {
  await using folder = (await from.child(name)).assertDirectory();
  const mode = Number(folder.stats.mode) & 0o777;
  await chmod(folder.path, mode | 0o700);
  await rename(from.at(name), to.at(name));
  await chmod(folder.path, mode);
}
