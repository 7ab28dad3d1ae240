import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { CreateVolumeRequest, UpdateVolumeRequest, VolumeResponse } from '../protocol/rest.ts';
import { CapacityMount, formatCapacityImage, reapCapacityMounts } from '../util/capacity-image.ts';
import { errnoOf } from '../util/errno.ts';
import { GatedFiles } from '../util/gated-files.ts';
import { type MeasureBudget, measureTree } from '../util/measure-tree.ts';
import { namesIn, Pin } from '../util/path-gate.ts';
import { removeTree } from '../util/remove-tree.ts';
import { Turns } from '../util/turns.ts';
import {
  createFolder,
  DRAFT,
  GONE,
  noVolume,
  readRecord,
  readRecords,
  toResponse,
  type VolumeFolder,
  type VolumeRecord,
  volumeFolder,
  writeRecord,
} from './volume-record.ts';

/** What a driver needs to mount a volume. */
export interface VolumeSource {
  readonly path: string;
  /** Present when the volume has a capacity; it is mounted at `path` on the host. */
  readonly capacityImage?: string;
}

/** A volume in this process, while anybody uses it. */
interface OpenVolume {
  readonly turns: Turns;
  /** Sandboxes that have it mounted. */
  users: number;
  mount: CapacityMount | undefined;
}

const GIB = 1024 ** 3;
/** Entries that are looked at to tell how much a volume without a capacity holds: of all in a list, of one. */
const LIST_BUDGET = 5_000;
const GET_BUDGET = 100_000;
/** A draft of another process that is younger may still become a volume. */
const DRAFT_AGE_MS = 3_600_000;

/**
 * The volumes of all organisations: directories below one root, which outlive every sandbox.
 *
 * `organisation` is always the id of one. A volume with a capacity is a file system of its own, mounted on first use and
 * unmounted when the store closes. What removes or limits a volume is refused while a sandbox uses it.
 */
export class VolumeStore implements AsyncDisposable {
  readonly #root: string;
  readonly #open = new Map<string, OpenVolume>();
  readonly #removals = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor(root: string) {
    this.#root = root;
  }

  /** Clears away what killed processes left: mounts, volumes half made, volumes half removed. */
  async recover(): Promise<void> {
    await reapCapacityMounts(this.#root);
    for (const id of await namesBelow(this.#root)) {
      const organisation = join(this.#root, id);
      for (const name of await namesBelow(organisation)) {
        const path = join(organisation, name);
        if (name.startsWith(GONE)) this.#discard(path);
        else if (name.startsWith(DRAFT) && (await ageOf(path)) > DRAFT_AGE_MS) this.#discard(path);
      }
    }
  }

  /** Throws `already_exists`, and `unsupported` where a capacity cannot be enforced. */
  async create(organisation: string, request: CreateVolumeRequest): Promise<VolumeResponse> {
    const { name, labels, capacity_gib: gib } = request;
    const record = newRecord(name, labels, gib ? gib * GIB : null);
    await createFolder(this.#folderOf(organisation), record, async ({ image }) => {
      if (record.capacityBytes !== null) await formatCapacityImage(image, { bytes: record.capacityBytes });
    });
    return toResponse(record, null);
  }

  async list(organisation: string): Promise<readonly VolumeResponse[]> {
    const records = await readRecords(this.#folderOf(organisation));
    const budget = { entries: LIST_BUDGET };
    return await Promise.all(records.map((record) => this.#describe(organisation, record, budget)));
  }

  /** Throws `not_found`. */
  async get(organisation: string, id: string): Promise<VolumeResponse> {
    return await this.#describe(organisation, await this.#find(organisation, id), { entries: GET_BUDGET });
  }

  /** The volume that every organisation has, without a name; made on first use. */
  async getDefault(organisation: string): Promise<VolumeResponse> {
    const folder = volumeFolder(this.#folderOf(organisation), null);
    if ((await readRecord(folder)) === undefined) {
      await createFolder(this.#folderOf(organisation), newRecord(null, {}, null), async () => {}).catch((error) => {
        if (!isWorkcellError(error) || error.code !== 'already_exists') throw error;
      });
    }
    return await this.#describe(organisation, await this.#require(folder), { entries: GET_BUDGET });
  }

  /**
   * Changes labels and capacity; see `updateVolumeSchema`. Throws `invalid_argument` for a smaller capacity, and
   * `invalid_state` where a limit is set or taken away while the volume holds files or is in use.
   */
  async update(organisation: string, id: string, request: UpdateVolumeRequest): Promise<VolumeResponse> {
    const { name } = await this.#find(organisation, id);
    return await this.#turn(organisation, name, async (volume, folder) => {
      const record = await this.#require(folder, id);
      const { capacity_gib: gib, labels } = request;
      const capacityBytes = gib === undefined ? record.capacityBytes : gib === null ? null : gib * GIB;
      if (capacityBytes !== record.capacityBytes) await this.#resize(record, capacityBytes, volume, folder);
      const updated = {
        ...record,
        capacityBytes,
        labels: labels ?? record.labels,
        updatedAt: new Date().toISOString(),
      };
      await writeRecord(folder, updated);
      return toResponse(updated, await this.#usedBytes(organisation, updated, { entries: GET_BUDGET }));
    });
  }

  /** The volume is gone at once; its data is, soon. Throws `invalid_state` while a sandbox uses it and for the host volume. */
  async remove(organisation: string, id: string): Promise<void> {
    const { name } = await this.#find(organisation, id);
    if (name === null) throw new WorkcellError('invalid_state', 'The host volume cannot be deleted');
    await this.#turn(organisation, name, async (volume, folder) => {
      await this.#require(folder, id);
      assertUnused(volume);
      const gone = join(dirname(folder.path), `${GONE}${randomUUID()}`);
      await volume.mount?.close();
      volume.mount = undefined;
      await rename(folder.path, gone);
      this.#discard(gone);
    });
  }

  /** The files of a volume, for host code. Throws `not_found`. */
  async filesOf(organisation: string, id: string): Promise<GatedFiles> {
    const { name } = await this.#find(organisation, id);
    return new GatedFiles((await this.#source(organisation, name, id)).path);
  }

  /** What a guest mounts. Throws `not_found`. */
  async pathOf(organisation: string, name: string): Promise<VolumeSource> {
    return await this.#source(organisation, name);
  }

  /** Marks a volume as mounted by a sandbox until it is disposed of: call it before {@link pathOf}. */
  use(organisation: string, name: string): Disposable {
    const volume = this.#opened(organisation, name);
    volume.users += 1;
    let over = false;
    return {
      [Symbol.dispose]: () => {
        if (!over) volume.users -= 1;
        over = true;
      },
    };
  }

  /** Unmounts everything that nobody else uses, and waits for removals. Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all(this.#removals);
    await Promise.all([...this.#open.values()].map((volume) => volume.turns.take(async () => volume.mount?.close())));
  }

  #folderOf(organisation: string): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/.test(organisation)) throw noVolume();
    return join(this.#root, organisation);
  }

  async #find(organisation: string, id: string): Promise<VolumeRecord> {
    const found = (await readRecords(this.#folderOf(organisation))).find((record) => record.id === id);
    if (found === undefined) throw noVolume();
    return found;
  }

  /** With an id: the volume may have been removed, and another made under its name, while this waited for its turn. */
  async #require(folder: VolumeFolder, id?: string): Promise<VolumeRecord> {
    const record = await readRecord(folder);
    if (record === undefined || (id !== undefined && record.id !== id)) throw noVolume();
    return record;
  }

  #opened(organisation: string, name: string | null): OpenVolume {
    const { path } = volumeFolder(this.#folderOf(organisation), name);
    const volume = this.#open.get(path) ?? { turns: new Turns(), users: 0, mount: undefined };
    this.#open.set(path, volume);
    return volume;
  }

  #turn<T>(
    organisation: string,
    name: string | null,
    work: (volume: OpenVolume, folder: VolumeFolder) => Promise<T>,
  ): Promise<T> {
    const volume = this.#opened(organisation, name);
    return volume.turns.take(() => {
      if (this.#closing !== undefined) throw new WorkcellError('invalid_state', 'This server is shutting down');
      return work(volume, volumeFolder(this.#folderOf(organisation), name));
    });
  }

  #source(organisation: string, name: string | null, id?: string): Promise<VolumeSource> {
    return this.#turn(organisation, name, async (volume, folder) => {
      const record = await this.#require(folder, id);
      if (record.capacityBytes === null) return { path: folder.data };
      volume.mount ??= await CapacityMount.open({ image: folder.image, directory: folder.data });
      return { path: folder.data, capacityImage: folder.image };
    });
  }

  async #resize(record: VolumeRecord, bytes: number | null, volume: OpenVolume, folder: VolumeFolder): Promise<void> {
    if (record.name === null) throw new WorkcellError('invalid_state', 'The host volume cannot be capped');
    if (bytes !== null && record.capacityBytes !== null) {
      if (bytes < record.capacityBytes) {
        const instead = 'make a smaller volume and copy the files';
        throw new WorkcellError('invalid_argument', `A capacity cannot be made smaller: ${instead}`);
      }
      volume.mount ??= await CapacityMount.open({ image: folder.image, directory: folder.data });
      return await volume.mount.grow(bytes);
    }
    assertUnused(volume);
    if (bytes === null) await this.#uncap(volume, folder);
    else await cap(bytes, folder);
  }

  async #uncap(volume: OpenVolume, folder: VolumeFolder): Promise<void> {
    volume.mount ??= await CapacityMount.open({ image: folder.image, directory: folder.data });
    if (!(await isEmpty(folder.data))) throw holdsFiles();
    await volume.mount.close();
    volume.mount = undefined;
    await rm(folder.image);
  }

  async #describe(organisation: string, record: VolumeRecord, budget: MeasureBudget): Promise<VolumeResponse> {
    return toResponse(record, await this.#usedBytes(organisation, record, budget));
  }

  /** Null for what is too much to look at, and for a capacity that is not mounted: telling must not mount it. */
  async #usedBytes(organisation: string, record: VolumeRecord, budget: MeasureBudget): Promise<number | null> {
    if (record.capacityBytes !== null) {
      return (await this.#opened(organisation, record.name).mount?.usage())?.usedBytes ?? null;
    }
    const { data } = volumeFolder(this.#folderOf(organisation), record.name);
    return (await measureTree(data, budget).catch(() => undefined)) ?? null;
  }

  /** What is left over is taken away by {@link recover} of a later process. */
  #discard(path: string): void {
    const removal: Promise<void> = discard(path)
      .catch(() => {})
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }
}

function newRecord(
  name: string | null,
  labels: Readonly<Record<string, string>>,
  capacityBytes: number | null,
): VolumeRecord {
  const now = new Date().toISOString();
  return { id: randomUUID(), name, labels: { ...labels }, capacityBytes, createdAt: now, updatedAt: now };
}

function assertUnused({ users }: OpenVolume): void {
  if (users === 0) return;
  const message = 'The volume is in use by a sandbox; stop the sandboxes that mount it first';
  throw new WorkcellError('invalid_state', message);
}

/** Puts an empty file system in the place of a folder, which must be empty: what is in it would be hidden. */
async function cap(bytes: number, { data, image }: VolumeFolder): Promise<void> {
  await formatCapacityImage(image, { bytes });
  try {
    await rmdir(data);
  } catch (error) {
    await rm(image);
    throw errnoOf(error) === 'ENOTEMPTY' ? holdsFiles() : error;
  }
  await mkdir(data, { mode: 0o700 });
}

function holdsFiles(): WorkcellError {
  const instead = 'make another volume and copy the files';
  return new WorkcellError(
    'invalid_state',
    `A limit can be set and taken away only while a volume holds no files: ${instead}`,
  );
}

async function isEmpty(directory: string): Promise<boolean> {
  await using pin = await Pin.root(directory);
  return (await namesIn(pin, 1)).length === 0;
}

async function namesBelow(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch(() => []);
}

async function ageOf(path: string): Promise<number> {
  return Date.now() - (await stat(path)).mtimeMs;
}

async function discard(path: string): Promise<void> {
  await reapCapacityMounts(path);
  await using parent = await Pin.root(dirname(path));
  await removeTree(parent, path.slice(dirname(path).length + 1));
}
