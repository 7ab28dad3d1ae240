import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SessionId } from '../core/ids.ts';
import { errnoOf, succeeds } from '../util/errno.ts';
import { syncFolder } from '../util/sync-folder.ts';

/** That an execution starts, or started, at a byte of a session's log. */
export interface Claim {
  readonly executionId: string;
  readonly session: SessionId;
  readonly start: number;
}

/** What the register says of an execution: where it is claimed to start, or that its history was deleted. */
export type RegisterEntry = Omit<Claim, 'executionId'> | 'gone';

/**
 * All executions that a customer has ever had: which session each is in, also those whose session was deleted.
 *
 * Lines `execution session start` in 256 files by the hash of the execution's id, each appended as a whole and synced. A
 * claim is on disk before the start is in the log, so after a crash there may be one for a start that is not there: whoever
 * finds a claim looks. The last entry of an execution is the one that holds.
 */
export class ExecutionRegister {
  readonly #folder: string;
  /** The files whose entry in the folder is on disk. */
  readonly #synced = new Set<string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** False for a customer whose executions were never registered. */
  exists(): Promise<boolean> {
    return succeeds(access(this.#folder), ['ENOENT']);
  }

  /** Resolves when all of them are on disk. */
  async add(claims: readonly Claim[]): Promise<void> {
    const fit = claims.filter(({ executionId }) => REGISTRABLE.test(executionId));
    if (fit.length === 0) return;
    if (this.#synced.size === 0) await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const [bucket, each] of Map.groupBy(fit, ({ executionId }) => bucketOf(executionId))) {
      // The newline comes first: it ends what a crash may have left without one.
      const lines = each.map(({ executionId, session, start }) => `\n${executionId} ${session} ${start}\n`);
      await this.#appendTo(bucket, lines.join(''));
    }
  }

  /** Records that the history of all executions of a session is gone; resolves when that is on disk. */
  async addDeleted(session: SessionId): Promise<void> {
    for (const bucket of await this.#buckets()) {
      const entries = (await this.#read(bucket)).split('\n').map((line) => line.split(' '));
      const last = new Map(entries.map(([executionId = '', place = '']) => [executionId, place]));
      const gone = [...last].flatMap(([executionId, place]) => (place === session ? [executionId] : []));
      if (gone.length > 0) await this.#appendTo(bucket, gone.map((id) => `\n${id} ${GONE} ${GONE}\n`).join(''));
    }
  }

  /** What is recorded of an execution, the last first. */
  async find(executionId: string): Promise<readonly RegisterEntry[]> {
    const text = await this.#read(bucketOf(executionId));
    return text
      .split('\n')
      .flatMap((line) => entryOf(line, executionId))
      .toReversed();
  }

  async #read(bucket: string): Promise<string> {
    try {
      return await readFile(join(this.#folder, bucket), 'latin1');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return '';
      throw error;
    }
  }

  async #buckets(): Promise<readonly string[]> {
    try {
      return await readdir(this.#folder);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
  }

  async #appendTo(bucket: string, text: string): Promise<void> {
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
    await using file = await open(join(this.#folder, bucket), flags, 0o600);
    const written = file.writeFile(text).then(() => file.datasync());
    await Promise.all([written, ...this.#namesOf(bucket).map(syncFolder)]);
    this.#synced.add(bucket);
  }

  /** The folders with names on the way to a file that may not be on disk. */
  #namesOf(bucket: string): readonly string[] {
    if (this.#synced.has(bucket)) return [];
    return this.#synced.size > 0 ? [this.#folder] : [this.#folder, dirname(this.#folder)];
  }
}

/** In the place of a session; none has this id. */
const GONE = '-';
/** Logs of before may hold others; nobody can ask for those. */
const REGISTRABLE = /^[A-Za-z0-9_-]{1,63}$/;

function bucketOf(executionId: string): string {
  return createHash('sha256').update(executionId).digest('hex').slice(0, 2);
}

function entryOf(line: string, executionId: string): readonly RegisterEntry[] {
  if (!line.startsWith(`${executionId} `)) return [];
  const [, session = '', start = ''] = line.split(' ');
  if (session === GONE) return ['gone'];
  // Only this class writes these lines, from ids that were checked.
  return /^\d+$/.test(start) ? [{ session: session as SessionId, start: Number(start) }] : [];
}
