import { isWorkcellError } from '../core/errors.ts';
import { claimant, claimName } from '../util/file-lock.ts';
import type { GatedFiles } from '../util/gated-files.ts';

/** Beside `files`, on the same file system, out of the guests' sight. */
export const STAGING = '.staging';

/**
 * Gives `work` a folder of its own in the tree of a workspace, and removes it with what is left in it. What processes that
 * were killed left behind goes first.
 */
export async function withStaging<T>(tree: GatedFiles, work: (folder: string) => Promise<T>): Promise<T> {
  await tree.makeDirectory(STAGING);
  for (const { name } of (await tree.list(STAGING)).entries)
    if ((await claimant(name)) === undefined) await removeIfThere(tree, `${STAGING}/${name}`);
  const folder = `${STAGING}/${await claimName()}`;
  try {
    await tree.makeDirectory(folder);
    return await work(folder);
  } finally {
    await removeIfThere(tree, folder);
  }
}

/** As `remove`, but nothing there is fine. */
export async function removeIfThere(files: GatedFiles, path: string): Promise<void> {
  await files.remove(path).catch((error) => {
    if (!isWorkcellError(error) || error.code !== 'not_found') throw error;
  });
}
