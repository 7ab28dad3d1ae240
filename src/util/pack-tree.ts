import { posix } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { GatedFiles, ListedEntry } from './gated-files.ts';
import { isTemporary } from './pinned-files.ts';
import { tarHeader, tarStream } from './tar-writer.ts';

/** Something that was left out, and why. */
export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

export interface PackOptions {
  /** Where the tree stands in the archive, such as `files`. Default: at its top. */
  readonly prefix?: string | undefined;
  /** Told of what an archive cannot hold, or what went away meanwhile. */
  readonly onSkipped?: ((skipped: Skipped) => void) | undefined;
}

/** More in one folder is refused: the names of one folder are held in memory. */
const MAX_ENTRIES = 200_000;

/**
 * The entries of a tar archive with what is below a folder: files, folders, and links as links. Add `tarEnd()` after the last
 * tree. What changes meanwhile is in it as it was or as it is; a file that gets shorter while it is read ends the archive
 * with `invalid_state`.
 */
export async function* packTree(
  files: GatedFiles,
  path: string,
  options: PackOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const { entries, truncated } = await files.list(path, { maxEntries: MAX_ENTRIES });
  if (truncated) throw new WorkcellError('unsupported', `A folder holds more than ${MAX_ENTRIES} entries`);
  for (const entry of entries) {
    if (isTemporary(entry.name)) continue;
    const here = posix.join(path, entry.name);
    const name = posix.join(options.prefix ?? '', entry.name);
    try {
      yield* packEntry(files, here, entry, { ...options, prefix: name });
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'not_found') throw error;
      options.onSkipped?.({ path: here, reason: 'it went away, or its name is not valid UTF-8' });
    }
  }
}

async function* packEntry(
  files: GatedFiles,
  here: string,
  entry: ListedEntry,
  options: PackOptions & { readonly prefix: string },
): AsyncGenerator<Uint8Array, void> {
  const { mode, modifiedAt } = entry;
  const header = { path: options.prefix, mode: mode & 0o777, modifiedAt };
  switch (entry.kind) {
    case 'file': {
      const { size, stream, info } = await files.openFile(here);
      return yield* tarStream({ ...header, type: 'file', mode: info.mode & 0o777, size }, stream);
    }
    case 'directory':
      yield tarHeader({ ...header, type: 'folder' });
      return yield* packTree(files, here, options);
    case 'symlink':
      return yield tarHeader({ ...header, type: 'link', target: await files.readLink(here) });
    case 'other':
      return options.onSkipped?.({ path: here, reason: 'it is neither a file, a folder nor a link' });
    default:
      entry.kind satisfies never;
  }
}
