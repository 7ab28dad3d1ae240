import { posix } from 'node:path';
import type { GatedFiles, ListedEntry } from '../util/gated-files.ts';
import { isTemporary } from '../util/pinned-files.ts';
import { entriesOf } from '../workspaces/merge-tree.ts';

export interface WalkedEntry {
  /** From the top of the files. */
  readonly path: string;
  readonly entry: ListedEntry;
}

export interface WalkFilesOptions {
  readonly recursive: boolean;
  /** Goes on behind this path, whether it is still there or not. */
  readonly after?: string | undefined;
}

/**
 * What is below a folder, each folder right before what it holds, by name; the order is the same whatever else is there, so
 * that a walk can be continued. Links are not followed.
 */
export async function* walkFiles(
  files: GatedFiles,
  folder: string,
  { recursive, after }: WalkFilesOptions,
): AsyncGenerator<WalkedEntry, void> {
  yield* walk(folder, after === undefined ? [] : posix.relative(folder, after).split('/'));

  async function* walk(path: string, [passed, ...deeper]: readonly string[]): AsyncGenerator<WalkedEntry, void> {
    for (const entry of await entriesOf(files, path)) {
      const { name, kind } = entry;
      if (isTemporary(name) || (passed !== undefined && name < passed)) continue;
      const here = posix.join(path, name);
      const isPassed = name === passed;
      if (!isPassed) yield { path: here, entry };
      if (recursive && kind === 'directory') yield* walkIfThere(here, isPassed ? deeper : []);
    }
  }

  /** One that goes away meanwhile holds nothing. */
  async function* walkIfThere(path: string, after: readonly string[]): AsyncGenerator<WalkedEntry, void> {
    if (await files.exists(path)) yield* walk(path, after);
  }
}
