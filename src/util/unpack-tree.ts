import { posix } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { GatedFiles } from './gated-files.ts';
import type { Skipped } from './pack-tree.ts';
import { reasonOf } from './path-gate.ts';
import { entryError, readTar, type TarEntry, type TarLimits } from './tar-reader.ts';

export interface UnpackOptions {
  readonly limits: TarLimits;
  /** Which symbolic links are made: all, or those that stay inside of what is unpacked. Default `inside`. */
  readonly links?: 'inside' | 'all' | undefined;
}

export interface Unpacked {
  readonly files: number;
  readonly folders: number;
  readonly links: number;
  /** Of the files. */
  readonly bytes: number;
  /** Links that were left out because they lead outside; the first {@link MAX_SKIPPED} of them. */
  readonly skipped: readonly Skipped[];
}

/** How many of what is left out are told by name. */
export const MAX_SKIPPED = 100;
const OF_THE_ENTRY: ReadonlySet<string> = new Set(['invalid_argument', 'invalid_state', 'not_found']);

/**
 * Unpacks a tar archive, plain or gzip, into a folder that is new: what is there already makes an entry a duplicate. Every path
 * goes through the gate, so nothing outside the folder is reached. Throws `invalid_argument`, naming the entry; what was
 * unpacked until then stays for the caller to remove.
 */
export async function unpackTree(
  files: GatedFiles,
  folder: string,
  archive: AsyncIterable<Uint8Array>,
  { limits, links = 'inside' }: UnpackOptions,
): Promise<Unpacked> {
  await files.makeDirectory(folder);
  const unpacking = new Unpacking(files, folder, links);
  for await (const entry of readTar(archive, limits)) await unpacking.add(entry);
  return await unpacking.finish();
}

/** Entries on their way into one folder; for archives of which parts go to different places. */
export class Unpacking {
  readonly #files: GatedFiles;
  readonly #folder: string;
  readonly #links: 'inside' | 'all';
  readonly #count = { files: 0, folders: 0, links: 0, bytes: 0 };
  readonly #skipped: Skipped[] = [];
  /** A folder's own mode and time are set when nothing is put into it any more. */
  readonly #folders: Exclude<TarEntry, { type: 'file' | 'link' }>[] = [];

  constructor(files: GatedFiles, folder: string, links: 'inside' | 'all') {
    this.#files = files;
    this.#folder = folder;
    this.#links = links;
  }

  async add(entry: TarEntry): Promise<void> {
    if (entry.type !== 'link' || this.#links === 'all' || !leavesTree(entry))
      return await explain(entry.path, () => this.#place(entry));
    if (this.#skipped.length < MAX_SKIPPED)
      this.#skipped.push({ path: entry.path, reason: 'it is a link that leads outside' });
  }

  /** Resolves when everything is on disk. */
  async finish(): Promise<Unpacked> {
    for (const entry of this.#folders.reverse())
      await this.#files.setAttributes(pathIn(this.#folder, entry.path), { ...entry, mode: entry.mode | 0o700 });
    await this.#files.syncAll();
    return { ...this.#count, skipped: this.#skipped };
  }

  async #place(entry: TarEntry): Promise<void> {
    const path = pathIn(this.#folder, entry.path);
    const { mode, modifiedAt } = entry;
    switch (entry.type) {
      case 'file':
        this.#count.files++;
        this.#count.bytes += entry.size;
        await this.#files.writeFile(path, entry.content, { mode, modifiedAt, check: refuseSecond, sync: false });
        break;
      case 'folder':
        if (path === this.#folder) break;
        this.#count.folders++;
        await this.#files.makeDirectory(path);
        this.#folders.push(entry);
        break;
      case 'link':
        this.#count.links++;
        await this.#files.makeLink(path, entry.target);
        await this.#files.setAttributes(path, { modifiedAt });
        break;
      default:
        entry satisfies never;
    }
  }
}

/** Where an entry goes; joined by hand, so that the gate sees every `..` that is in it. */
function pathIn(folder: string, path: string): string {
  if (path.startsWith('/')) throw entryError(path, 'its path is absolute');
  if (path === '' || path === '.') return folder;
  return folder === '' ? path : `${folder}/${path}`;
}

function refuseSecond(current: unknown): void {
  if (current !== undefined) throw new WorkcellError('invalid_argument', 'it is there a second time');
}

/** Whether a link leads out of the tree, by its text alone: what it goes through may be links, too, none of which is followed here. */
function leavesTree({ path, target }: { readonly path: string; readonly target: string }): boolean {
  if (target.startsWith('/')) return true;
  const end = posix.normalize(posix.join(posix.dirname(path), target));
  return end === '..' || end.startsWith('../');
}

/** What is wrong with the tree is wrong with the entry; the folder that it is unpacked into is no business of its sender. */
async function explain(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isWorkcellError(error)) throw error;
    const reason = reasonOf(error.cause ?? error);
    if (reason.details.entry !== undefined) throw reason;
    const { message, details } = entryError(path, reason.message);
    const code = OF_THE_ENTRY.has(reason.code) ? 'invalid_argument' : reason.code;
    throw new WorkcellError(code, message, { cause: error, details: { ...reason.details, ...details } });
  }
}
