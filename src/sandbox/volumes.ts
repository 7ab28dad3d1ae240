import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import type { VolumeResponse } from '../protocol/rest.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';

const recordSchema = z.object({
  id: z.uuid(),
  name: z.string(),
  labels: z.record(z.string(), z.string()),
  createdAt: z.string(),
});

type VolumeRecord = z.infer<typeof recordSchema>;

const RECORD = 'volume.json';
const DATA = 'data';

/** Named volumes: directories under one root, which outlive every sandbox. `<root>/<name>/{volume.json,data/}`. */
export class VolumeStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Throws `already_exists`. A capacity is refused: no driver can enforce one on a directory. */
  async create(name: string, labels: Readonly<Record<string, string>>): Promise<VolumeResponse> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    await mkdir(join(this.#root, name), { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
      throw new WorkcellError('already_exists', `A volume named "${name}" exists already`);
    });
    await mkdir(join(this.#root, name, DATA), { mode: 0o700 });
    const record: VolumeRecord = { id: randomUUID(), name, labels: { ...labels }, createdAt: new Date().toISOString() };
    await writeFileAtomic(join(this.#root, name, RECORD), JSON.stringify(record));
    return toResponse(record);
  }

  async list(): Promise<VolumeResponse[]> {
    const names = (await readdir(this.#root).catch(() => [])).sort();
    const records = await Promise.all(names.map((name) => this.#read(name)));
    return records.filter((record) => record !== undefined).map(toResponse);
  }

  async get(id: string): Promise<VolumeResponse> {
    const found = (await this.list()).find((volume) => volume.id === id);
    if (found === undefined) throw new WorkcellError('not_found', 'There is no volume with this id');
    return found;
  }

  /** Removes the volume with everything in it. */
  async remove(id: string): Promise<void> {
    const { name } = await this.get(id);
    await rm(join(this.#root, name), { recursive: true });
  }

  /** The directory of a named volume. Throws `not_found`. */
  async pathOf(name: string): Promise<string> {
    const record = await this.#read(name);
    if (record === undefined)
      throw new WorkcellError('not_found', `There is no volume named "${name}"; create it first`);
    return join(this.#root, record.name, DATA);
  }

  async #read(name: string): Promise<VolumeRecord | undefined> {
    if (!/^[a-z0-9-]+$/.test(name)) return undefined;
    const text = await readTextIfExists(join(this.#root, name, RECORD));
    return text === undefined ? undefined : recordSchema.parse(JSON.parse(text));
  }
}

function toResponse(record: VolumeRecord): VolumeResponse {
  return {
    id: record.id,
    name: record.name,
    kind: 'managed',
    storage: 'block',
    status: 'active',
    labels: record.labels,
    created_at: record.createdAt,
    updated_at: record.createdAt,
    capacity_bytes: null,
    used_bytes: null,
  };
}
