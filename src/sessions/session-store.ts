import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import { type CustomerId, newSessionId, parseSessionId, type SessionId } from '../core/ids.ts';
import { errnoOf, succeeds } from '../util/errno.ts';
import { Turns } from '../util/turns.ts';
import type { StoredEvent } from './events.ts';
import { LogFile, type OpenMode } from './log-file.ts';
import { SessionHistory } from './session-history.ts';
import { SessionLog } from './session-log.ts';

const SUFFIX = '.jsonl';

export interface SessionStoreOptions {
  readonly customer: CustomerId;
  /** The directory with this customer's session files; only the host writes to it. */
  readonly sessionsPath: string;
  /** Told of every event that this store has brought to disk, in the order of each session. Must not throw. */
  readonly onStored?: ((session: SessionId, event: StoredEvent) => void) | undefined;
}

interface SharedFile {
  readonly file: LogFile;
  users: number;
}

/**
 * The sessions of one customer.
 *
 * A session has one writer: within a process all handles share it, and another process gets `busy` until the last of
 * them is closed. Reading needs no lock. Keep one store for each customer, since two stores are two writers.
 */
export class SessionStore {
  readonly #customer: CustomerId;
  readonly #directory: string;
  readonly #onStored: SessionStoreOptions['onStored'];
  readonly #shared = new Map<SessionId, SharedFile>();
  /** Opening and closing take turns, so that each finds the files in the state that the one before left. */
  readonly #turns = new Turns();

  constructor(options: SessionStoreOptions) {
    this.#customer = options.customer;
    this.#directory = options.sessionsPath;
    this.#onStored = options.onStored;
  }

  /** Throws `already_exists` when there is a session with this id. */
  create(id: SessionId = newSessionId()): Promise<SessionLog> {
    return this.#open(id, 'create');
  }

  /** Throws `not_found` when there is no such session, `busy` when another process has it open. */
  open(id: SessionId): Promise<SessionLog> {
    return this.#open(id, 'open');
  }

  /** Throws `busy` when another process has the session open. */
  openOrCreate(id: SessionId): Promise<SessionLog> {
    return this.#open(id, 'openOrCreate');
  }

  /** What a session holds, to read only; undefined when there is no such session. Works while anyone writes to it. */
  async find(id: SessionId): Promise<SessionHistory | undefined> {
    const path = this.#pathOf(id);
    return (await succeeds(lstat(path), ['ENOENT'])) ? new SessionHistory(id, path) : undefined;
  }

  /** Bytes of its file; undefined when there is no such session. */
  async size(id: SessionId): Promise<number | undefined> {
    try {
      return (await lstat(this.#pathOf(id))).size;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** The ids of all sessions, sorted: those that were made by `newSessionId`, oldest first. */
  async list(): Promise<readonly SessionId[]> {
    try {
      return (await readdir(this.#directory)).flatMap(idOf).sort();
    } catch (error) {
      const message = `Cannot list the sessions of "${this.#customer}": it failed with ${errnoOf(error)}`;
      throw new WorkcellError('storage_failed', message, { cause: error });
    }
  }

  #open(id: SessionId, mode: OpenMode): Promise<SessionLog> {
    return this.#turns.take(async () => {
      const known = mode === 'create' ? undefined : this.#shared.get(id);
      const shared = known ?? { file: await this.#openFile(id, mode), users: 0 };
      this.#shared.set(id, shared);
      shared.users++;
      return new SessionLog(shared.file, () => this.#leave(shared));
    });
  }

  #leave(shared: SharedFile): Promise<void> {
    return this.#turns.take(async () => {
      if (--shared.users > 0) return;
      this.#shared.delete(shared.file.id);
      await shared.file.close();
    });
  }

  async #openFile(id: SessionId, mode: OpenMode): Promise<LogFile> {
    const path = this.#pathOf(id);
    const lockPath = join(this.#directory, `.${id}.lock`);
    const onStored = (event: StoredEvent) => this.#onStored?.(id, event);
    return await LogFile.open({ id, customer: this.#customer, path, lockPath, mode, onStored });
  }

  #pathOf(id: SessionId): string {
    return join(this.#directory, `${parseSessionId(id)}${SUFFIX}`);
  }
}

function idOf(name: string): readonly SessionId[] {
  if (!name.endsWith(SUFFIX)) return [];
  try {
    return [parseSessionId(name.slice(0, -SUFFIX.length))];
  } catch {
    return [];
  }
}
