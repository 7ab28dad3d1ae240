import type { GatedFiles } from '../util/gated-files.ts';
import { statIfThere } from './merge-tree.ts';
import { removeIfThere } from './staging.ts';

/** What a workspace's tree consists of; each folder stays itself, since guests may have it mounted. */
export const TREE_FOLDERS = ['files', 'skills'] as const;

const JOURNAL = '.replacing';
const NEW = `${JOURNAL}/new`;
const OLD = `${JOURNAL}/old`;
/** The new tree is whole: from here on there is only forward. */
const READY = `${JOURNAL}/ready`;
/** What was there is out of the way. */
const CLEARED = `${JOURNAL}/cleared`;
/** What is over, whichever way, and only has to go. */
const DONE = `${JOURNAL}.done`;

/**
 * Puts another content into the folders of a tree, so that after a crash at any moment {@link finishReplacement} leaves the old
 * or the new as a whole. `fill` gets the folder in which it lays out `files` and `skills`. The caller has the tree alone.
 */
export async function replaceTree(tree: GatedFiles, fill: (folder: string) => Promise<void>): Promise<void> {
  await finishReplacement(tree);
  try {
    for (const folder of TREE_FOLDERS) await tree.makeDirectory(`${NEW}/${folder}`);
    await fill(NEW);
    await tree.syncAll();
    await tree.writeFile(READY, '');
  } catch (error) {
    await finishReplacement(tree);
    throw error;
  }
  await finishReplacement(tree);
}

/** Whether a replacement has been begun and not finished. */
export async function isReplacing(tree: GatedFiles): Promise<boolean> {
  return (await tree.exists(JOURNAL)) || (await tree.exists(DONE));
}

/** Completes what {@link replaceTree} was doing when its process was killed, or undoes it. The caller has the tree alone. */
export async function finishReplacement(tree: GatedFiles): Promise<void> {
  await removeIfThere(tree, DONE);
  if (!(await tree.exists(JOURNAL))) return;
  if (await tree.exists(READY)) {
    if (!(await tree.exists(CLEARED))) {
      for (const folder of TREE_FOLDERS) await moveAll(tree, folder, `${OLD}/${folder}`);
      await tree.writeFile(CLEARED, '');
    }
    for (const folder of TREE_FOLDERS) await moveAll(tree, `${NEW}/${folder}`, folder);
  }
  // In one step, so that a removal that is cut off cannot be taken for a replacement.
  await tree.rename(JOURNAL, DONE);
  await tree.syncFolder('');
  await removeIfThere(tree, DONE);
}

async function moveAll(tree: GatedFiles, from: string, to: string): Promise<void> {
  if ((await statIfThere(tree, from)) === undefined) return;
  await tree.moveContents(from, to);
}
