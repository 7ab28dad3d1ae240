import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import { type CustomerId, parseCustomerId } from '../core/ids.ts';
import { Deadline } from '../util/deadline.ts';
import { errnoOf, succeeds } from '../util/errno.ts';
import { claimant, claimName, FileLock } from '../util/file-lock.ts';
import { GatedFiles } from '../util/gated-files.ts';
import { Turns } from '../util/turns.ts';

const PRIVATE = 0o700;
const CREATE_TIMEOUT_MS = 10_000;
/** What a folder that is being removed is called. */
const REMOVED = '.removed-';

/**
 * Which customers have a folder: the entries of a directory, but those that start with a dot. No two differ only in case, since
 * some file systems could not tell the two apart.
 */
export class CustomerFolders {
  readonly #root: string;
  /** Within this process nobody has to contend for the lock on the root. */
  readonly #turns = new Turns();

  /** The directory is made on first use; its owner may have put a link in its place. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Lists nothing where it can be told without: there may be very many customers. */
  async find(customer: CustomerId): Promise<BigIntStats | undefined> {
    const found = await this.#look(customer);
    const twin = twinOf(customer);
    if (found === undefined || twin === customer) return found;
    const other = await this.#look(twin);
    if (other?.ino !== found.ino || other.dev !== found.dev) return found;
    // One folder under both names: this file system does not tell them apart, and a list alone says what it is called.
    return (await this.#names()).includes(customer) ? found : undefined;
  }

  /** Makes one where there is none. Throws `invalid_argument` for an id that differs from an existing one only in case. */
  async make(customer: CustomerId): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: PRIVATE });
    if ((await this.find(customer)) === undefined) await this.#turns.take(() => this.#create(customer));
  }

  /** Sorted. */
  async list(): Promise<readonly CustomerId[]> {
    const folders = (await this.#entries()).filter((entry) => entry.isDirectory());
    return folders.flatMap((folder) => idOf(folder.name)).sort();
  }

  /** Removes one with everything in it, in one step for everybody else; `gone` is called behind that step. */
  async remove(customer: CustomerId, gone: () => Promise<void>): Promise<void> {
    const top = new GatedFiles(this.#root);
    const name = `${REMOVED}${await claimName()}`;
    await top.rename(customer, name);
    await top.syncFolder('');
    await gone();
    await top.remove(name);
  }

  /** Removes what processes that were killed had begun to remove. */
  async finishRemovals(): Promise<void> {
    const top = new GatedFiles(this.#root);
    for (const name of await readdir(this.#root))
      if (name.startsWith(REMOVED) && (await claimant(name.slice(REMOVED.length))) === undefined)
        await top.remove(name);
  }

  async #create(customer: CustomerId): Promise<void> {
    using deadline = new Deadline('Waiting for another workspace to be made', CREATE_TIMEOUT_MS);
    // Two processes that make ids which differ only in case must not both find the place free.
    await using _lock = await FileLock.wait({ path: join(this.#root, '.lock'), what: 'The workspace root' }, deadline);
    const twin = (await this.#names()).find((name) => name.toLowerCase() === customer.toLowerCase());
    if (twin !== undefined && twin !== customer) {
      throw new WorkcellError(
        'invalid_argument',
        `the existing id "${twin}" differs from it only in case; use that one`,
      );
    }
    await succeeds(mkdir(join(this.#root, customer), { mode: PRIVATE }), ['EEXIST']);
  }

  async #look(name: string): Promise<BigIntStats | undefined> {
    try {
      return await lstat(join(this.#root, name), { bigint: true });
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  async #names(): Promise<readonly string[]> {
    return (await this.#entries()).map((entry) => entry.name);
  }

  async #entries(): Promise<readonly Dirent[]> {
    try {
      return (await readdir(this.#root, { withFileTypes: true })).filter((entry) => !entry.name.startsWith('.'));
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

/** A spelling that differs only in case; the same for an id without letters. */
function twinOf(customer: CustomerId): string {
  const lower = customer.toLowerCase();
  return lower === customer ? customer.toUpperCase() : lower;
}

function idOf(name: string): readonly CustomerId[] {
  try {
    return [parseCustomerId(name)];
  } catch {
    return [];
  }
}
