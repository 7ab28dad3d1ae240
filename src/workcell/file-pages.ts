import { posix } from 'node:path';
import { isWorkcellError } from '../core/errors.ts';
import type { GatedFiles, ListedEntry } from '../util/gated-files.ts';
import { parseRelativePath } from '../util/path-gate.ts';
import { isTemporary } from '../util/pinned-files.ts';
import { MAX_ENTRIES } from '../workspaces/merge-tree.ts';

const HOLDS_NOTHING: ReadonlySet<string> = new Set(['not_found', 'invalid_state']);

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
 * that a walk can be continued. Links are not followed. What is nested deeper than a path can say is left out.
 */
export async function* walkFiles(
  files: GatedFiles,
  folder: string,
  { recursive, after }: WalkFilesOptions,
): AsyncGenerator<WalkedEntry, void> {
  yield* walk(folder, after === undefined ? [] : posix.relative(folder, after).split('/'));

  async function* walk(path: string, [passed, ...deeper]: readonly string[]): AsyncGenerator<WalkedEntry, void> {
    for await (const entry of files.each(path, { from: passed, maxEntries: MAX_ENTRIES })) {
      const { name, kind } = entry;
      const here = posix.join(path, name);
      if (isTemporary(name) || !isPath(here)) continue;
      const isPassed = name === passed;
      if (!isPassed) yield { path: here, entry };
      if (recursive && kind === 'directory') yield* walkIfThere(here, isPassed ? deeper : []);
    }
  }

  /** One that goes away meanwhile holds nothing. */
  async function* walkIfThere(path: string, after: readonly string[]): AsyncGenerator<WalkedEntry, void> {
    try {
      yield* walk(path, after);
    } catch (error) {
      if (!isWorkcellError(error) || !HOLDS_NOTHING.has(error.code)) throw error;
    }
  }
}

function isPath(path: string): boolean {
  try {
    return parseRelativePath(path).length > 0;
  } catch {
    return false;
  }
}
