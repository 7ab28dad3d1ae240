import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf, WorkcellError } from '../core/errors.ts';
import { createSandboxSchema, SANDBOX_STATUSES } from '../protocol/rest.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';

const time = z.iso.datetime().nullable();

const recordSchema = z.object({
  v: z.literal(1),
  id: z.uuid(),
  orgId: z.string(),
  /** The key that has created it, when that key has a limit. */
  key: z.object({ id: z.string(), maxSandboxes: z.int().nonnegative() }).optional(),
  /** Grows with every sandbox of this server: the order of listings. */
  sequence: z.int().positive(),
  request: createSandboxSchema,
  name: z.string(),
  slug: z.string(),
  status: z.enum(SANDBOX_STATUSES),
  createdAt: z.iso.datetime(),
  startedAt: time,
  stoppedAt: time,
  /** When it was last used, as far as that was written. */
  activeAt: time,
  failure: z.string().nullable(),
  /** What the driver needs to find the guest again. */
  guest: z.object({ driver: z.string(), data: z.unknown() }).optional(),
});

/** Everything that is known of a sandbox and must outlive the server. Values of its environment are among it, those of its secrets are not. */
export type SandboxRecord = Readonly<z.infer<typeof recordSchema>>;

/** The sandboxes of a server as files, `<state>/sandboxes/<id>.json`, for its owner only; without a folder it keeps nothing. */
export class SandboxStore {
  readonly #folder: string | undefined;
  readonly #wanted = new Map<string, SandboxRecord | 'removed'>();
  readonly #writing = new Map<string, Promise<void>>();

  private constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  static async open(state: string | undefined): Promise<SandboxStore> {
    if (state === undefined) return new SandboxStore(undefined);
    const folder = join(state, 'sandboxes');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return new SandboxStore(folder);
  }

  /** In the order of creation. Throws `storage_failed` for a file that is not a sandbox's. */
  async load(): Promise<SandboxRecord[]> {
    const folder = this.#folder;
    if (folder === undefined) return [];
    const names = (await readdir(folder)).filter((name) => name.endsWith('.json'));
    const records = await Promise.all(names.map((name) => readRecord(folder, name)));
    return records.sort((a, b) => a.sequence - b.sequence);
  }

  /** Resolves when this record, or a newer one of the same sandbox, is on the disk. */
  save(record: SandboxRecord): Promise<void> {
    return this.#want(record.id, record);
  }

  remove(id: string): Promise<void> {
    return this.#want(id, 'removed');
  }

  /** One write at a time for each sandbox; of several that wait, only the newest is made. */
  #want(id: string, what: SandboxRecord | 'removed'): Promise<void> {
    const folder = this.#folder;
    if (folder === undefined) return Promise.resolve();
    this.#wanted.set(id, what);
    const before = this.#writing.get(id) ?? Promise.resolve();
    const writing = before.catch(() => {}).then(() => this.#write(folder, id));
    this.#writing.set(id, writing);
    const forget = () => {
      if (this.#writing.get(id) === writing) this.#writing.delete(id);
    };
    writing.then(forget, forget);
    return writing;
  }

  async #write(folder: string, id: string): Promise<void> {
    const wanted = this.#wanted.get(id);
    this.#wanted.delete(id);
    if (wanted === undefined) return;
    const path = join(folder, `${id}.json`);
    try {
      if (wanted === 'removed') await rm(path, { force: true });
      else await writeFileAtomic(path, JSON.stringify(wanted), 0o600);
    } catch (cause) {
      throw new WorkcellError('storage_failed', `Cannot keep sandbox ${id}: the folder of the state refuses`, {
        cause,
      });
    }
  }
}

async function readRecord(folder: string, name: string): Promise<SandboxRecord> {
  try {
    return recordSchema.parse(JSON.parse((await readTextIfExists(join(folder, name))) ?? ''));
  } catch (cause) {
    throw new WorkcellError(
      'storage_failed',
      `Cannot read the state file sandboxes/${name}: ${messageOf(cause)}; mend it or delete it`,
      { cause },
    );
  }
}
