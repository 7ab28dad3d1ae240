import { posix } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import { type EnteredFolder, type GatedFiles, ifStill, type ListedEntry } from './gated-files.ts';
import { canBePutBack } from './path-gate.ts';
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
/** Files up to this are read before their size is told. */
const WHOLE_BYTES = 1024 * 1024;

/**
 * The entries of a tar archive with what is below a folder: files, folders, and links as links. Add `tarEnd()` after the last
 * tree. What changes meanwhile is in it as it was or as it is; a file of more than 1 MiB that gets shorter while it is read
 * ends the archive with `invalid_state`.
 */
export async function* packTree(
  files: GatedFiles,
  path: string,
  { prefix = '', onSkipped = () => {} }: PackOptions = {},
): AsyncGenerator<Uint8Array, void> {
  await using top = await files.enter(path);
  yield* packEntries(top.files, await listWhole(top.files), path, prefix);

  /** `here`: how the folder is told of. */
  async function* packEntries(
    folder: GatedFiles,
    entries: readonly ListedEntry[],
    here: string,
    target: string,
  ): AsyncGenerator<Uint8Array, void> {
    for (const entry of entries) {
      if (isTemporary(entry.name)) continue;
      const [place, goal] = [posix.join(here, entry.name), posix.join(target, entry.name)];
      const reason = reasonAgainst(entry, goal);
      if (reason === undefined) yield* packEntry(folder, entry, place, goal);
      else onSkipped({ path: place, reason });
    }
  }

  async function* packEntry(
    parent: GatedFiles,
    entry: ListedEntry,
    here: string,
    target: string,
  ): AsyncGenerator<Uint8Array, void> {
    const header = { path: target, mode: entry.mode & 0o777, modifiedAt: entry.modifiedAt };
    const found = await ifStill(() => openEntry(parent, entry));
    if (found === undefined) return onSkipped({ path: here, reason: 'it went away, or became something else' });
    switch (found.kind) {
      case 'file':
        return yield* tarStream({ ...header, type: 'file', mode: found.mode & 0o777, size: found.size }, found.content);
      case 'folder': {
        await using folder = found.folder;
        yield tarHeader({ ...header, type: 'folder' });
        // What was removed lists as nothing, or on some file systems not at all.
        const entries = (await ifStill(() => listWhole(folder.files))) ?? [];
        return yield* packEntries(folder.files, entries, here, target);
      }
      case 'link':
        return yield tarHeader({ ...header, type: 'link', target: found.target });
      default:
        found satisfies never;
    }
  }
}

async function listWhole(folder: GatedFiles): Promise<readonly ListedEntry[]> {
  const { entries, truncated } = await folder.list('', { maxEntries: MAX_ENTRIES });
  if (!truncated) return entries;
  throw new WorkcellError('unsupported', `A folder holds more than ${MAX_ENTRIES} entries`);
}

type Bytes = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

type OpenedEntry =
  | { readonly kind: 'file'; readonly size: number; readonly mode: number; readonly content: Bytes }
  | { readonly kind: 'folder'; readonly folder: EnteredFolder }
  | { readonly kind: 'link'; readonly target: string };

async function openEntry(parent: GatedFiles, { name, kind, size, mode }: ListedEntry): Promise<OpenedEntry> {
  if (kind === 'directory') return { kind: 'folder', folder: await parent.enter(name) };
  if (kind === 'symlink') return { kind: 'link', target: await parent.readLink(name) };
  if (size > WHOLE_BYTES) return await openFile(parent, name);
  // A small one may be cut and written again at any time, and then has the size that could be read.
  const bytes = await ifStill(() => parent.readFile(name, { maxBytes: 2 * WHOLE_BYTES }));
  if (bytes === undefined) return await openFile(parent, name);
  return { kind: 'file', size: bytes.length, mode, content: [bytes] };
}

async function openFile(parent: GatedFiles, name: string): Promise<OpenedEntry> {
  const { size, stream, info } = await parent.openFile(name);
  return { kind: 'file', size, mode: info.mode, content: stream };
}

function reasonAgainst({ kind, isReachable }: ListedEntry, path: string): string | undefined {
  if (!isReachable) return 'its name is not valid UTF-8';
  if (kind === 'other') return 'it is neither a file, a folder nor a link';
  return canBePutBack(path) ? undefined : 'it is nested too deep, or its path is too long';
}
