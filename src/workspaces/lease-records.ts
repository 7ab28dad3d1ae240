import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import { errnoOf, succeeds } from '../util/errno.ts';
import { syncFolder } from '../util/sync-folder.ts';

const recordSchema = z.object({
  owner: z.string(),
  token: z.int().positive(),
  /** Milliseconds since 1970; 0: it was let go. */
  expires: z.number(),
  /** For how long it was made good. */
  ttlMs: z.number().positive(),
});

export type LeaseRecord = Readonly<z.infer<typeof recordSchema>>;

/** The records of who owns and owned a customer: a file for each token, which is there as a whole or not at all. */
export class LeaseRecords {
  readonly #customer: CustomerId;
  readonly #folder: string;

  constructor(customer: CustomerId, folder: string) {
    this.#customer = customer;
    this.#folder = folder;
  }

  /** Makes the folder, but not the customer's own, which may have been removed a moment ago. */
  async open(): Promise<void> {
    await succeeds(mkdir(this.#folder, { mode: 0o700 }), ['EEXIST']);
  }

  /** Ascending. */
  async tokens(): Promise<readonly number[]> {
    const names = await readdir(this.#folder);
    return names.flatMap((name) => (/^\d{1,15}$/.test(name) ? [Number(name)] : [])).sort((a, b) => a - b);
  }

  /** Undefined for one that is gone: there is a larger one. */
  async find(token: number): Promise<LeaseRecord | undefined> {
    try {
      return recordSchema.parse(JSON.parse(await readFile(this.#pathOf(token), 'utf8')));
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return undefined;
      const message = `The lease of customer "${this.#customer}" cannot be read; restore or delete its folder ".lease"`;
      throw new WorkcellError('storage_failed', message, { cause });
    }
  }

  /** False when another server was quicker. */
  async place(record: LeaseRecord): Promise<boolean> {
    const draft = await this.#draft(record);
    try {
      return await succeeds(link(draft, this.#pathOf(record.token)), ['EEXIST', 'ENOENT']);
    } finally {
      await succeeds(unlink(draft), ['ENOENT']);
      await syncFolder(this.#folder);
    }
  }

  /** Puts it in the place of the one with its token. */
  async replace(record: LeaseRecord): Promise<void> {
    await rename(await this.#draft(record), this.#pathOf(record.token));
    await syncFolder(this.#folder);
  }

  async remove(token: number): Promise<void> {
    await succeeds(unlink(this.#pathOf(token)), ['ENOENT']);
  }

  /** Takes away what killed servers left half done; whoever is about to place a record comes too late anyway. */
  async removeDrafts(): Promise<void> {
    for (const name of await readdir(this.#folder))
      if (name.startsWith('.')) await succeeds(unlink(join(this.#folder, name)), ['ENOENT']);
  }

  async #draft(record: LeaseRecord): Promise<string> {
    const path = join(this.#folder, `.${randomBytes(8).toString('hex')}`);
    await using file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(JSON.stringify(record));
      await file.sync();
      return path;
    } catch (error) {
      await unlink(path);
      throw error;
    }
  }

  #pathOf(token: number): string {
    return join(this.#folder, String(token));
  }
}
