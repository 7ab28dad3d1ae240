import { lstat } from 'node:fs/promises';
import { errnoOf } from './errno.ts';
import { namesIn, PATH_LIMITS, Pin } from './path-gate.ts';

/** How many more entries may be looked at; shared by the trees of one request. */
export interface MeasureBudget {
  entries: number;
}

/**
 * The bytes on disk of everything below a directory, whose content a guest may change meanwhile; follows no links. Undefined
 * when that takes more than the budget, or it is nested deeper than {@link PATH_LIMITS} allow.
 */
export async function measureTree(directory: string, budget: MeasureBudget): Promise<number | undefined> {
  let bytes = 0;
  const fits = await measure(await Pin.root(directory), 0);
  return fits ? bytes : undefined;

  async function measure(start: Pin, depth: number): Promise<boolean> {
    await using folder = start;
    if (depth > PATH_LIMITS.depth) return false;
    for (const name of await namesIn(folder, budget.entries + 1)) {
      if (--budget.entries < 0) return false;
      const fits = await ifThere(async () => {
        const stats = await lstat(folder.at(name));
        bytes += stats.blocks * 512;
        if (!stats.isDirectory()) return true;
        const child = await folder.child(name);
        if (child.stats.isDirectory()) return await measure(child, depth + 1);
        await child.close();
        return true;
      });
      if (!fits) return false;
    }
    return true;
  }
}

/** What went away while it was looked at takes no room. */
async function ifThere(work: () => Promise<boolean>): Promise<boolean> {
  try {
    return await work();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errnoOf(error))) return true;
    throw error;
  }
}
