import type { Readable } from 'node:stream';
import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import type { ByteRange, EntryInfo, FileContent } from '../util/gated-files.ts';
import { packTree, type Skipped } from '../util/pack-tree.ts';
import { parseRelativePath } from '../util/path-gate.ts';
import { isSettled } from '../util/pinned-files.ts';
import type { TarLimits } from '../util/tar-reader.ts';
import { tarEnd } from '../util/tar-writer.ts';
import { type Unpacked, unpackTree } from '../util/unpack-tree.ts';
import { mergeTree } from '../workspaces/merge-tree.ts';
import { withStaging } from '../workspaces/staging.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import type { WorkspaceShare } from '../workspaces/workspace-tenure.ts';
import { assertConditions, type FileConditions } from './file-conditions.ts';
import { describeEntry, type FileEntry } from './file-entry.ts';
import { walkFiles } from './file-pages.ts';

export interface FilePage {
  readonly entries: readonly FileEntry[];
  /** Give it as `after` for the next page; null when this was the last. */
  readonly next: string | null;
}

export interface ListFilesOptions {
  /** Default: the top. */
  readonly path?: string | undefined;
  /** Also what folders hold. Default false. */
  readonly recursive?: boolean | undefined;
  /** Entries of one page, at most {@link MAX_PAGE}. Default 100. */
  readonly limit?: number | undefined;
  /** The `next` of the page before. */
  readonly after?: string | undefined;
}

export interface FileRead {
  readonly entry: FileEntry;
  /** Bytes that the stream gives. */
  readonly size: number;
  /** Must be read to its end or destroyed. */
  readonly stream: Readable;
}

export interface CustomerFilesOptions {
  /** The workspace to write to, made when there is none; held against those who want it alone until it is let go. */
  readonly open: () => Promise<Workspace & WorkspaceShare>;
  /** The workspace to read; undefined when there is none. */
  readonly find: () => Promise<Workspace | undefined>;
  /** Asked before each piece of so many bytes is written, often; throws when the customer may not have them. */
  readonly admit: (bytes: number) => Promise<void>;
  /** Of an archive that is uploaded. */
  readonly archiveLimits: () => TarLimits;
}

export const MAX_PAGE = 1_000;
/** Characters of a path that is none. */
const MAX_TOLD = 100;

/**
 * The files of one customer's workspace, for people and programs on the host.
 *
 * Guests write them at the same time, so nothing here follows a symbolic link, not even one that stays inside: it is listed
 * as one. Conditions hold among those who use this API; a guest that writes in the same moment is not stopped. Every
 * method throws `invalid_argument` for a path that is none and `not_found` for what is not there.
 */
export class CustomerFiles {
  readonly #options: CustomerFilesOptions;

  constructor(options: CustomerFilesOptions) {
    this.#options = options;
  }

  /** One page, in an order that stays the same: each folder right before what it holds, by name. */
  async list({ path = '', recursive = false, limit = 100, after }: ListFilesOptions = {}): Promise<FilePage> {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE)
      throw new WorkcellError('invalid_argument', `A page of ${limit} files cannot be had; give 1 to ${MAX_PAGE}`);
    const folder = tidy(path);
    if (after !== undefined && !isBelow(after, folder))
      throw new WorkcellError(
        'invalid_argument',
        'The place to go on from is not in this folder; give "next" as it was',
      );
    const workspace = await this.#options.find();
    const entries: FileEntry[] = [];
    if (workspace === undefined && folder === '') return { entries, next: null };
    for await (const { path: found, entry } of walkFiles((await this.#find(folder)).files, folder, {
      recursive,
      after,
    })) {
      if (entries.length === limit) return { entries, next: entries.at(-1)?.path ?? null };
      entries.push({ ...describeEntry(found, entry), ...(isSettled(entry) ? {} : { version: null }) });
    }
    return { entries, next: null };
  }

  async stat(path: string): Promise<FileEntry> {
    const name = tidy(path);
    return describeEntry(name, await (await this.#find(name)).files.stat(name, { settled: true }));
  }

  /**
   * A file, or the bytes of it that `choose` names; an empty range, whose end is before its start, opens nothing. What `choose`
   * throws, this throws. Throws `invalid_state` for what is no file.
   */
  async read(path: string, choose?: (entry: FileEntry) => ByteRange | undefined): Promise<FileRead> {
    const name = tidy(path);
    const { files } = await this.#find(name);
    const { info, size, stream } = await files.openFile(name, (info) => choose?.(describeEntry(name, info)));
    return { entry: describeEntry(name, info), size, stream };
  }

  /**
   * Replaces a file as a whole, or makes it and the folders on the way; it is on disk when this resolves. Throws
   * `precondition_failed` when a condition does not hold, and then nothing has changed.
   */
  async write(
    path: string,
    content: FileContent,
    conditions: FileConditions = {},
  ): Promise<FileEntry & { readonly created: boolean }> {
    const name = tidy(path);
    await using workspace = await this.#options.open();
    const { files } = workspace;
    // What would be refused in the end is refused before it is sent.
    assertConditions(name, conditions, await ifThere(files.stat(name)));
    let created = false;
    const check = (current: EntryInfo | undefined) => {
      workspace.assertHeld();
      assertConditions(name, conditions, current);
      created = current === undefined;
    };
    const commit = <T>(work: () => Promise<T>) => workspace.takeTurn(name, work);
    const info = await files.writeFile(name, this.#admitted(content), { check, commit, settled: true });
    return { ...describeEntry(name, info), created };
  }

  /** Removes a file, a link, or a folder with everything in it; with `recursive: false` a folder that holds something is refused. */
  async delete(
    path: string,
    { recursive = true, ...conditions }: FileConditions & { readonly recursive?: boolean | undefined } = {},
  ): Promise<void> {
    const name = tidy(path);
    await this.#find(name);
    await using workspace = await this.#options.open();
    const { files } = workspace;
    await workspace.takeTurn(name, async () => {
      const current = await files.stat(name);
      assertConditions(name, conditions, current);
      if (!recursive && current.kind === 'directory' && (await files.list(name, { maxEntries: 1 })).entries.length > 0)
        throw new WorkcellError('invalid_state', `The folder ${JSON.stringify(name)} is not empty`);
      workspace.assertHeld();
      await files.remove(name);
    });
  }

  /** Makes a folder and those on the way to it; one that is there already is fine. */
  async makeDirectory(path: string): Promise<FileEntry> {
    const name = tidy(path);
    await using workspace = await this.#options.open();
    workspace.assertHeld();
    await workspace.files.makeDirectory(name);
    return describeEntry(name, await workspace.files.stat(name));
  }

  /** Moves a file, a link or a folder. With `overwrite: false`, throws `precondition_failed` when something is at the new place. */
  async move(
    from: string,
    to: string,
    { overwrite = true }: { readonly overwrite?: boolean | undefined } = {},
  ): Promise<FileEntry> {
    const [source, target] = [tidy(from), tidy(to)];
    await this.#find(source);
    await using workspace = await this.#options.open();
    const { files } = workspace;
    const check = (current: EntryInfo | undefined) => {
      workspace.assertHeld();
      assertConditions(target, overwrite ? {} : { ifNoneMatch: '*' }, current);
    };
    await takeBoth(workspace, source, target, () => files.rename(source, target, { check }));
    return describeEntry(target, await files.stat(target, { settled: true }));
  }

  /**
   * Unpacks a tar archive, plain or gzip, into a folder, where it adds to what is there and replaces files of the same names. An
   * archive that is refused changes nothing; links in it that lead outside are left out and told.
   */
  async upload(
    archive: AsyncIterable<Uint8Array>,
    { path = '' }: { readonly path?: string | undefined } = {},
  ): Promise<Unpacked> {
    const name = tidy(path);
    await using workspace = await this.#options.open();
    const { tree } = workspace;
    return await withStaging(tree, async (staging) => {
      const limits = this.#options.archiveLimits();
      const unpacked = await unpackTree(tree, staging, this.#admitted(archive), { limits });
      workspace.assertHeld();
      await mergeTree(tree, staging, name === '' ? FILES : `${FILES}/${name}`);
      return unpacked;
    });
  }

  /** A folder and everything in it as a tar archive, with links as links. `onSkipped`: told of what an archive cannot hold. */
  async download(
    path = '',
    options: { readonly onSkipped?: ((skipped: Skipped) => void) | undefined } = {},
  ): Promise<AsyncIterable<Uint8Array>> {
    const name = tidy(path);
    const { files } = await this.#find(name);
    const { kind } = await files.stat(name);
    if (kind !== 'directory')
      throw new WorkcellError('invalid_state', `${JSON.stringify(name)} is not a folder; read it as a file`);
    return (async function* () {
      yield* packTree(files, name, options);
      yield tarEnd();
    })();
  }

  async #find(name: string): Promise<Workspace> {
    const workspace = await this.#options.find();
    if (workspace !== undefined) return workspace;
    throw new WorkcellError('not_found', `There is no file or folder ${JSON.stringify(name)}`);
  }

  async *#admitted(content: FileContent): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of piecesOf(content)) {
      await this.#options.admit(chunk.length);
      yield chunk;
    }
  }
}

const FILES = 'files';
/** Slashes at the ends mean nothing. Throws `invalid_argument` for what is no path. */
function tidy(path: string): string {
  const name = path.replace(/^\/+|\/+$/g, '');
  try {
    parseRelativePath(name);
  } catch (error) {
    const given = JSON.stringify(path.slice(0, MAX_TOLD));
    throw new WorkcellError('invalid_argument', `The path ${given} is not valid: ${messageOf(error)}`);
  }
  return name === '.' ? '' : name;
}

function isBelow(path: string, folder: string): boolean {
  parseRelativePath(path);
  return folder === '' || path.startsWith(`${folder}/`);
}

async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isWorkcellError(error) && error.code === 'not_found') return undefined;
    throw error;
  }
}

async function* piecesOf(content: FileContent): AsyncGenerator<Uint8Array, void> {
  if (typeof content === 'string') yield Buffer.from(content);
  else if (content instanceof Uint8Array) yield content;
  else yield* content;
}

/** Two places are always taken in the same order, so that nobody waits for each other. */
function takeBoth<T>({ takeTurn }: Workspace, a: string, b: string, work: () => Promise<T>): Promise<T> {
  const [first, second] = a < b ? [a, b] : [b, a];
  return takeTurn(first, () => (first === second ? work() : takeTurn(second, work)));
}
