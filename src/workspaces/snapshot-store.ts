import { randomBytes } from 'node:crypto';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { Deadline } from '../util/deadline.ts';
import { FileLock } from '../util/file-lock.ts';
import { entriesOf, mergeTree, statIfThere } from './merge-tree.ts';
import { replaceTree } from './replace-tree.ts';
import { SnapshotDraft } from './snapshot-draft.ts';
import { type SnapshotInfo, snapshotInfoSchema } from './snapshot-info.ts';
import { type ManifestEntry, readManifest } from './snapshot-manifest.ts';
import { listObjects, ObjectWriter, objectPath } from './snapshot-objects.ts';
import { layOut } from './snapshot-restore.ts';
import { withStaging } from './staging.ts';
import type { Workspace } from './workspace-store.ts';

export interface SnapshotStoreOptions {
  readonly maxSnapshots: number;
  /** Told of how far it is, now and then. */
  readonly onProgress?: ((text: string) => void) | undefined;
}

const HOME = '.snapshots';
const OBJECTS = `${HOME}/objects`;
const ID = /^snp_[0-9a-z]{25}$/;
const TURN_TIMEOUT_MS = 10 * 60_000;
const MAX_INFO_BYTES = 16 * 1024;
const MAX_NAME_CHARACTERS = 200;

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
   * Keeps what is there. Programs may run meanwhile: where blocks are shared, each file is kept as it was at one moment, not all
   * at the same; elsewhere as it was read. Throws `quota_exceeded` when there are as many as there may be, and `busy` when a
   * file does not hold still for long enough.
   */
  async create({ name = null }: { readonly name?: string | null | undefined } = {}): Promise<SnapshotInfo> {
    if (name !== null && (name.length > MAX_NAME_CHARACTERS || /\p{Cc}/u.test(name)))
      throw new WorkcellError(
        'invalid_argument',
        `A name has up to ${MAX_NAME_CHARACTERS} characters and no line breaks`,
      );
    const { tree, tenure } = this.#workspace;
    await using share = await tenure.share();
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
      await using data = await tree.enter(`${staging}/data`);
      await using objects = await tree.enter(`${staging}/objects`);
      const draft = new SnapshotDraft({
        tree,
        data: data.files,
        objects: new ObjectWriter(objects.files, await listObjects(tree, OBJECTS)),
        known: await this.#known(),
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
      share.assertHeld();
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
    await using share = await tenure.take();
    await using _turn = await this.#turn();
    await replaceTree(tree, async (folder) => {
      await using kept = await tree.enter(HOME);
      await using objects = await tree.enter(OBJECTS);
      await using data = await tree.enter(`${HOME}/${id}/data`);
      await using target = await tree.enter(folder);
      await layOut({
        entries: readManifest(kept.files, `${id}/manifest.jsonl`),
        target: target.files,
        find: ({ from }) =>
          'object' in from
            ? { files: objects.files, path: objectPath(from.object) }
            : { files: data.files, path: from.clone },
        onProgress: this.#options.onProgress,
      });
      share.assertHeld();
    });
    return info;
  }

  /** Removes a snapshot, and the contents that no other one has. */
  async delete(id: string): Promise<void> {
    const { tree, tenure } = this.#workspace;
    await using share = await tenure.share();
    await using _turn = await this.#turn();
    if (!ID.test(id) || !(await tree.exists(`${HOME}/${id}`))) throw noSnapshot(id);
    share.assertHeld();
    await withStaging(tree, (staging) => tree.rename(`${HOME}/${id}`, `${staging}/${id}`));
    await this.#collectObjects();
  }

  async #find(id: string): Promise<SnapshotInfo | undefined> {
    try {
      const text = await this.#workspace.tree.readFile(`${HOME}/${id}/snapshot.json`, { maxBytes: MAX_INFO_BYTES });
      return snapshotInfoSchema.parse(JSON.parse(text.toString()));
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

  async #collectObjects(): Promise<void> {
    const { tree } = this.#workspace;
    const used = new Set<string>();
    for (const { id } of await this.list())
      for await (const entry of readManifest(tree, `${HOME}/${id}/manifest.jsonl`))
        if (entry.kind === 'file' && 'object' in entry.from) used.add(entry.from.object);
    for (const object of await listObjects(tree, OBJECTS))
      if (!used.has(object)) await tree.remove(`${OBJECTS}/${objectPath(object)}`);
  }

  /** Objects are neither written nor collected by two at a time. */
  async #turn(): Promise<AsyncDisposable> {
    using deadline = new Deadline('Waiting for another snapshot of this customer', TURN_TIMEOUT_MS);
    return await FileLock.wait({ path: this.#workspace.snapshotLockPath, what: 'The snapshots' }, deadline);
  }
}

function noSnapshot(id: string): WorkcellError {
  return new WorkcellError('not_found', `There is no snapshot ${JSON.stringify(id.slice(0, 100))}`);
}
