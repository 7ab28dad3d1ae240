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
  { prefix = '', onSkipped = () => {} }: PackOptions = {},
): AsyncGenerator<Uint8Array, void> {
  yield* packFolder(files, path, path, prefix);

  /** `here`: how the folder is told of. */
  async function* packFolder(
    parent: GatedFiles,
    name: string,
    here: string,
    target: string,
  ): AsyncGenerator<Uint8Array, void> {
    await using folder = await parent.enter(name);
    const { entries, truncated } = await folder.files.list('', { maxEntries: MAX_ENTRIES });
    if (truncated) throw new WorkcellError('unsupported', `A folder holds more than ${MAX_ENTRIES} entries`);
    for (const entry of entries) {
      if (isTemporary(entry.name)) continue;
      const place = posix.join(here, entry.name);
      try {
        yield* packEntry(folder.files, entry, place, posix.join(target, entry.name));
      } catch (error) {
        if (!isWorkcellError(error) || error.code !== 'not_found') throw error;
        onSkipped({ path: place, reason: 'it went away, or its name is not valid UTF-8' });
      }
    }
  }

  async function* packEntry(
    parent: GatedFiles,
    entry: ListedEntry,
    here: string,
    target: string,
  ): AsyncGenerator<Uint8Array, void> {
    const { name, kind, mode, modifiedAt } = entry;
    const header = { path: target, mode: mode & 0o777, modifiedAt };
    switch (kind) {
      case 'file': {
        const { size, stream, info } = await parent.openFile(name);
        return yield* tarStream({ ...header, type: 'file', mode: info.mode & 0o777, size }, stream);
      }
      case 'directory':
        yield tarHeader({ ...header, type: 'folder' });
        return yield* packFolder(parent, name, here, target);
      case 'symlink':
        return yield tarHeader({ ...header, type: 'link', target: await parent.readLink(name) });
      case 'other':
        return onSkipped({ path: here, reason: 'it is neither a file, a folder nor a link' });
      default:
        kind satisfies never;
    }
  }
}
