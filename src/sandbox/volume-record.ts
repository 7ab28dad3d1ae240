import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import type { VolumeResponse } from '../protocol/rest.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { errnoOf } from '../util/errno.ts';

const recordSchema = z.object({
  id: z.uuid(),
  name: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  capacityBytes: z.number().nullable(),
  createdAt: z.string(),
  updatedAt: z.string(),
});

/** What is kept of a volume beside its data. Without a name it is the organisation's host volume. */
export type VolumeRecord = z.infer<typeof recordSchema>;

const RECORD = 'volume.json';
/** No volume can have this name. */
const HOST = '.host';

/** Where a volume lies: `<organisation>/<name>/{volume.json,data/,data.ext4}`; the image only with a capacity. */
export interface VolumeFolder {
  readonly path: string;
  readonly data: string;
  readonly image: string;
}

/** `name` null is the host volume. Throws `not_found` for what can be no name. */
export function volumeFolder(organisation: string, name: string | null): VolumeFolder {
  if (name !== null && !/^[a-z0-9-]{1,63}$/.test(name)) throw noVolume();
  const path = join(organisation, name ?? HOST);
  return { path, data: join(path, 'data'), image: join(path, 'data.ext4') };
}

export async function readRecord({ path }: VolumeFolder): Promise<VolumeRecord | undefined> {
  const text = await readTextIfExists(join(path, RECORD));
  return text === undefined ? undefined : recordSchema.parse(JSON.parse(text));
}

export function writeRecord({ path }: VolumeFolder, record: VolumeRecord): Promise<void> {
  return writeFileAtomic(join(path, RECORD), JSON.stringify(record));
}

/** All of an organisation, the host volume first. */
export async function readRecords(organisation: string): Promise<readonly VolumeRecord[]> {
  const names = await readdir(organisation).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  });
  const volumes = names.filter((name) => name === HOST || !name.startsWith('.')).sort();
  const records = await Promise.all(
    volumes.map((name) => readRecord(volumeFolder(organisation, name === HOST ? null : name))),
  );
  return records.filter((record) => record !== undefined);
}

/** Makes a volume as a whole or not at all. Throws `already_exists`. */
export async function createFolder(
  organisation: string,
  record: VolumeRecord,
  fill: (draft: VolumeFolder) => Promise<void>,
): Promise<void> {
  const path = join(organisation, `${DRAFT}${record.id}`);
  const draft = { path, data: join(path, 'data'), image: join(path, 'data.ext4') };
  await mkdir(draft.data, { recursive: true, mode: 0o700 });
  try {
    await fill(draft);
    await writeRecord(draft, record);
    // No volume's folder is empty, so this never replaces one.
    await rename(path, volumeFolder(organisation, record.name).path);
  } catch (error) {
    await rm(path, { recursive: true, force: true });
    if (!['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error))) throw error;
    throw new WorkcellError('already_exists', `A volume named "${record.name}" exists already`);
  }
}

/** Beginnings of names beside the volumes: one being made, and one being removed. */
export const DRAFT = '.new-';
export const GONE = '.gone-';

export function noVolume(): WorkcellError {
  return new WorkcellError('not_found', 'There is no such volume', { details: { resource: 'volume' } });
}

/** Whether it is the volume that is missing, and not something in it. */
export function isNoVolume({ code, details }: WorkcellError): boolean {
  return code === 'not_found' && details['resource'] === 'volume';
}

export function toResponse(record: VolumeRecord, usedBytes: number | null): VolumeResponse {
  return {
    id: record.id,
    name: record.name,
    kind: record.name === null ? 'host' : 'managed',
    storage: 'block',
    status: 'active',
    labels: record.labels,
    created_at: record.createdAt,
    updated_at: record.updatedAt,
    capacity_bytes: record.capacityBytes,
    used_bytes: usedBytes,
  };
}
