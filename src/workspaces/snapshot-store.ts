import { createHash, randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import { z } from 'zod';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { Deadline } from '../util/deadline.ts';
import { FileLock } from '../util/file-lock.ts';
import type { GatedFiles, ListedEntry } from '../util/gated-files.ts';
import { isSettled, isTemporary } from '../util/pinned-files.ts';
import { entriesOf, mergeTree, statIfThere } from './merge-tree.ts';
import { replaceTree, TREE_FOLDERS } from './replace-tree.ts';
import { type ManifestEntry, manifestLine, readManifest } from './snapshot-manifest.ts';
import { withStaging } from './staging.ts';
import type { Workspace } from './workspace-store.ts';

const infoSchema = z.strictObject({
  id: z.string(),
  name: z.string().nullable(),
  /** ISO 8601. */
  createdAt: z.iso.datetime(),
  files: z.int(),
  folders: z.int(),
  links: z.int(),
  /** Of the files. */
  bytes: z.int(),
  /** `shared`: blocks are shared with the live files; `objects`: each content is kept once for all snapshots. */
  storage: z.enum(['shared', 'objects']),
  /** What a snapshot cannot hold: pipes, sockets, devices, names that are not valid UTF-8. */
  skipped: z.int(),
});

/** What is known of a snapshot. */
export type SnapshotInfo = Readonly<z.infer<typeof infoSchema>>;

export interface SnapshotStoreOptions {
  readonly maxSnapshots: number;
  /** Told of how far it is, now and then. */
  readonly onProgress?: ((text: string) => void) | undefined;
}

const HOME = '.snapshots';
const OBJECTS = `${HOME}/objects`;
const ID = /^snp_[0-9a-z]{25}$/;
const TURN_TIMEOUT_MS = 10 * 60_000;
/** Files in work at the same time. */
const AT_ONCE = 8;
const PROGRESS_EVERY = 1_000;
const MAX_INFO_BYTES = 16 * 1024;
const MAX_NAME_CHARACTERS = 200;
/** Larger files are not held in memory. */
const WHOLE_BYTES = 4 * 1024 * 1024;

/**
 * The snapshots of one customer's files and skills, beside them on the same file system, out of the guests' sight.
 *
 * Where the file system can share blocks, a snapshot is made of clones; elsewhere each content is an object under its SHA-256,
 * kept once for all snapshots of the customer, and a file that has not changed since the last one is not read again. An object
 * never shares an inode with a live file, because guests write in place. A snapshot is there as a whole or not at all.
 */
export class SnapshotStore {
  readonly #workspace: Pick<Workspace, 'tree' | 'tenure' | 'snapshotLockPath'>;
  readonly #options: SnapshotStoreOptions;

  constructor(workspace: Pick<Workspace, 'tree' | 'tenure' | 'snapshotLockPath'>, options: SnapshotStoreOptions) {
    this.#workspace = workspace;
    this.#options = options;
  }

  /**
   * Keeps what is there. Programs may run meanwhile: each file is kept as it was at one moment, not all at the same. Throws
   * `quota_exceeded` when there are as many as there may be.
   */
  async create({ name = null }: { readonly name?: string | null | undefined } = {}): Promise<SnapshotInfo> {
    if (name !== null && (name.length > MAX_NAME_CHARACTERS || /\p{Cc}/u.test(name)))
      throw new WorkcellError(
        'invalid_argument',
        `A name has up to ${MAX_NAME_CHARACTERS} characters and no line breaks`,
      );
    const { tree, tenure } = this.#workspace;
    await using _share = await tenure.share();
    await using _turn = await this.#turn();
    const { maxSnapshots } = this.#options;
    if ((await this.list()).length >= maxSnapshots)
      throw new WorkcellError(
        'quota_exceeded',
        `There are ${maxSnapshots} snapshots, as many as there may be; delete one`,
      );
    return await withStaging(tree, async (staging) => {
      const id = `snp_${Date.now().toString(36).padStart(9, '0')}${randomBytes(8).toString('hex')}`;
      await tree.makeDirectory(`${staging}/objects`);
      await tree.makeDirectory(`${staging}/data`);
      await using room = await tree.enter(staging);
      const draft = new Draft({
        tree,
        place: staging,
        staging: room.files,
        known: await this.#known(),
        objects: await this.#objects(),
        onProgress: this.#options.onProgress,
      });
      await tree.writeFile(`${staging}/manifest.jsonl`, draft.lines(), { sync: false });
      const info: SnapshotInfo = {
        id,
        name,
        createdAt: new Date().toISOString(),
        ...draft.count,
        storage: draft.storage,
      };
      await tree.writeFile(`${staging}/snapshot.json`, `${JSON.stringify(info)}\n`, { sync: false });
      await tree.syncAll();
      // What is among the objects has reached the disk, or a later snapshot would build on what a crash has emptied.
      await mergeTree(tree, `${staging}/objects`, OBJECTS);
      await tree.remove(`${staging}/objects`);
      await tree.rename(staging, `${HOME}/${id}`);
      await tree.syncFolder(HOME);
      return info;
    });
  }

  /** Oldest first. */
  async list(): Promise<readonly SnapshotInfo[]> {
    const { tree } = this.#workspace;
    if ((await statIfThere(tree, HOME)) === undefined) return [];
    const ids = (await entriesOf(tree, HOME)).map(({ name }) => name).filter((name) => ID.test(name));
    const infos = await Promise.all(ids.map((id) => this.#find(id)));
    return infos.filter((info) => info !== undefined);
  }

  /** Throws `not_found`. */
  async get(id: string): Promise<SnapshotInfo> {
    const info = ID.test(id) ? await this.#find(id) : undefined;
    if (info !== undefined) return info;
    throw noSnapshot(id);
  }

  /**
   * Makes files and skills exactly what the snapshot has: what came later is gone. After a crash in the middle the workspace is
   * as before or as in the snapshot when it is used next. Throws `busy` while programs run or somebody else uses the workspace.
   */
  async restore(id: string): Promise<SnapshotInfo> {
    const { tree, tenure } = this.#workspace;
    const info = await this.get(id);
    await using _lock = await tenure.take();
    await using _turn = await this.#turn();
    await replaceTree(tree, async (folder) => {
      await using kept = await tree.enter(HOME);
      await using fresh = await tree.enter(folder);
      const folders: ManifestEntry[] = [];
      let done = 0;
      await inParallel(readManifest(kept.files, `${id}/manifest.jsonl`), async (entry) => {
        const { path } = entry;
        const attributes = { mode: entry.mode, modifiedAt: new Date(entry.at), owner: entry.owner };
        if (++done % PROGRESS_EVERY === 0) this.#options.onProgress?.(`${done} files and folders are back`);
        if (entry.kind === 'folder') {
          folders.push(entry);
          await fresh.files.makeDirectory(path);
        } else if (entry.kind === 'link') {
          await fresh.files.makeLink(path, entry.target);
          await fresh.files.setAttributes(path, attributes);
        } else await kept.files.cloneFile(placeOf(id, entry.from), path, { into: fresh.files, attributes });
      });
      // Putting something into a folder changes when that was modified, so the folders come last, the inner ones first.
      for (const { path, mode, at, owner } of folders.reverse())
        await fresh.files.setAttributes(path, { mode, modifiedAt: new Date(at), owner });
    });
    return info;
  }

  /** Removes a snapshot, and the contents that no other one has. */
  async delete(id: string): Promise<void> {
    const { tree, tenure } = this.#workspace;
    await using _share = await tenure.share();
    await using _turn = await this.#turn();
    if (!ID.test(id) || !(await tree.exists(`${HOME}/${id}`))) throw noSnapshot(id);
    await withStaging(tree, (staging) => tree.rename(`${HOME}/${id}`, `${staging}/${id}`));
    await this.#collectObjects();
  }

  async #find(id: string): Promise<SnapshotInfo | undefined> {
    try {
      const text = await this.#workspace.tree.readFile(`${HOME}/${id}/snapshot.json`, { maxBytes: MAX_INFO_BYTES });
      return infoSchema.parse(JSON.parse(text.toString()));
    } catch (cause) {
      if (isWorkcellError(cause)) {
        if (cause.code === 'not_found') return undefined;
        throw cause;
      }
      throw new WorkcellError('storage_failed', `The snapshot "${id}" is damaged; delete its folder`, { cause });
    }
  }

  /** The files of the last snapshot, by path. */
  async #known(): Promise<ReadonlyMap<string, ManifestEntry>> {
    const last = (await this.list()).at(-1);
    const known = new Map<string, ManifestEntry>();
    if (last?.storage !== 'objects') return known;
    for await (const entry of readManifest(this.#workspace.tree, `${HOME}/${last.id}/manifest.jsonl`))
      known.set(entry.path, entry);
    return known;
  }

  /** The contents that are kept, by their SHA-256. */
  async #objects(): Promise<Set<string>> {
    const { tree } = this.#workspace;
    const objects = new Set<string>();
    if ((await statIfThere(tree, OBJECTS)) === undefined) return objects;
    for (const { name: part } of await entriesOf(tree, OBJECTS))
      for (const { name } of await entriesOf(tree, `${OBJECTS}/${part}`)) objects.add(name);
    return objects;
  }

  async #collectObjects(): Promise<void> {
    const { tree } = this.#workspace;
    const used = new Set<string>();
    for (const { id } of await this.list())
      for await (const entry of readManifest(tree, `${HOME}/${id}/manifest.jsonl`))
        if (entry.kind === 'file' && 'object' in entry.from) used.add(entry.from.object);
    for (const object of await this.#objects())
      if (!used.has(object)) await tree.remove(`${OBJECTS}/${partOf(object)}`);
  }

  /** Objects are neither written nor collected by two at a time. */
  async #turn(): Promise<AsyncDisposable> {
    using deadline = new Deadline('Waiting for another snapshot of this customer', TURN_TIMEOUT_MS);
    return await FileLock.wait({ path: this.#workspace.snapshotLockPath, what: 'The snapshots' }, deadline);
  }
}

interface DraftOptions {
  readonly tree: GatedFiles;
  /** The folder of the tree in which the snapshot is made, and what is in it. */
  readonly place: string;
  readonly staging: GatedFiles;
  /** The entries of the last snapshot, by path. */
  readonly known: ReadonlyMap<string, ManifestEntry>;
  /** The contents that are kept already; those of this snapshot are added. */
  readonly objects: Set<string>;
  readonly onProgress: ((text: string) => void) | undefined;
}

/** A snapshot while it is made. */
class Draft {
  readonly count = { files: 0, folders: 0, links: 0, bytes: 0, skipped: 0 };
  storage: SnapshotInfo['storage'] = 'shared';
  readonly #options: DraftOptions;

  constructor(options: DraftOptions) {
    this.#options = options;
  }

  async *lines(): AsyncGenerator<Buffer, void> {
    for (const folder of TREE_FOLDERS) yield* this.#folder(this.#options.tree, folder, folder);
  }

  async *#folder(parent: GatedFiles, name: string, path: string): AsyncGenerator<Buffer, void> {
    await using folder = await parent.enter(name);
    const entries = await entriesOf(folder.files, '');
    for (let at = 0; at < entries.length; at += AT_ONCE) {
      const batch = entries.slice(at, at + AT_ONCE).filter((entry) => !isTemporary(entry.name));
      const kept = await Promise.all(
        batch.map((entry) => this.#keep(folder.files, posix.join(path, entry.name), entry)),
      );
      for (const entry of kept) {
        if (entry === undefined) continue;
        yield manifestLine(entry);
        if (entry.kind === 'folder') yield* this.#folder(folder.files, posix.basename(entry.path), entry.path);
      }
    }
  }

  /** Undefined for what a snapshot cannot hold, and what went away meanwhile. */
  async #keep(folder: GatedFiles, path: string, entry: ListedEntry): Promise<ManifestEntry | undefined> {
    const { name, kind, uid, gid, modifiedAt } = entry;
    const base = { path, mode: entry.mode & 0o777, at: modifiedAt.getTime(), owner: { uid, gid } };
    try {
      switch (kind) {
        case 'file': {
          const file = await this.#file(folder, path, entry);
          this.count.files++;
          this.count.bytes += file.size;
          if (this.count.files % PROGRESS_EVERY === 0) this.#options.onProgress?.(`${this.count.files} files are kept`);
          return { ...base, kind: 'file', ...file };
        }
        case 'directory':
          await folder.stat(name);
          this.count.folders++;
          return { ...base, kind: 'folder' };
        case 'symlink': {
          const target = await folder.readLink(name);
          this.count.links++;
          return { ...base, kind: 'link', target };
        }
        default:
          this.count.skipped++;
          return undefined;
      }
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'not_found') throw error;
      this.count.skipped++;
      return undefined;
    }
  }

  async #file(folder: GatedFiles, path: string, entry: ListedEntry): Promise<Content> {
    const { tree, place, staging, known } = this.#options;
    const before = known.get(path);
    if (before?.kind === 'file' && before.version === entry.version)
      return { size: before.size, from: before.from, version: before.version };
    if (this.storage === 'shared') {
      const clone = randomBytes(8).toString('hex');
      if (await tree.cloneFile(path, `${place}/data/${clone}`, { onlyShared: true })) {
        const { size } = await staging.stat(`data/${clone}`);
        return { size, from: { clone } };
      }
      this.storage = 'objects';
    }
    const version = isSettled(entry) ? { version: entry.version } : {};
    return { ...(await this.#object(folder, entry.name)), ...version };
  }

  /** The content as an object, which is written only when there is none like it. */
  async #object(folder: GatedFiles, name: string): Promise<Content> {
    const { staging, objects } = this.#options;
    const { size, stream } = await folder.openFile(name);
    const hash = createHash('sha256');
    if (size <= WHOLE_BYTES) {
      const bytes = Buffer.concat(await Array.fromAsync(stream as AsyncIterable<Buffer>));
      const object = hash.update(bytes).digest('hex');
      if (objects.has(object)) return { size, from: { object } };
      objects.add(object);
      await staging.writeFile(`objects/${partOf(object)}`, bytes, { sync: false });
      return { size, from: { object } };
    }
    const draft = randomBytes(8).toString('hex');
    const hashed = async function* () {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        hash.update(chunk);
        yield chunk;
      }
    };
    await staging.writeFile(draft, hashed(), { sync: false });
    const object = hash.digest('hex');
    await staging.rename(draft, `objects/${partOf(object)}`);
    objects.add(object);
    return { size, from: { object } };
  }
}

type Content = Pick<Extract<ManifestEntry, { kind: 'file' }>, 'size' | 'from' | 'version'>;

function noSnapshot(id: string): WorkcellError {
  return new WorkcellError('not_found', `There is no snapshot ${JSON.stringify(id.slice(0, 100))}`);
}

function partOf(object: string): string {
  return `${object.slice(0, 2)}/${object}`;
}

/** In the folder of the snapshots. */
function placeOf(id: string, from: Content['from']): string {
  return 'object' in from ? `objects/${partOf(from.object)}` : `${id}/data/${from.clone}`;
}

/** Works on several entries at a time; a folder is made before anything behind it is begun. */
async function inParallel(
  entries: AsyncIterable<ManifestEntry>,
  work: (entry: ManifestEntry) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  let failure: unknown;
  for await (const entry of entries) {
    if (entry.kind === 'folder') {
      await work(entry);
      continue;
    }
    const done = work(entry).catch((error: unknown) => {
      failure ??= error;
    });
    running.add(done);
    void done.then(() => running.delete(done));
    if (running.size >= AT_ONCE) await Promise.race(running);
    if (failure !== undefined) break;
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure;
}
