import { unlink } from 'node:fs/promises';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { type CustomerId, type ExecutionId, newSessionId, type SessionId } from '../core/ids.ts';
import { Deadline } from '../util/deadline.ts';
import { succeeds } from '../util/errno.ts';
import type { Fence } from '../util/fenced-lock.ts';
import { FileLock } from '../util/file-lock.ts';
import { syncFolder } from '../util/sync-folder.ts';
import type { StoredEvent } from './events.ts';
import { type ExecutionPlace, ExecutionPlaces } from './execution-places.ts';
import { ExecutionRegister } from './execution-register.ts';
import { LogImport } from './import-log.ts';
import { OpenSessions } from './open-sessions.ts';
import type { SessionKeys } from './sealing.ts';
import { SessionFolder, type SessionStats } from './session-folder.ts';
import { SessionHistory } from './session-history.ts';
import type { SessionLog } from './session-log.ts';
import { SessionReader } from './session-reader.ts';

/** Others have it for as long as it takes to look for their executions. */
const IMPORT_TURN_MS = 60_000;

export interface SessionStoreOptions {
  readonly customer: CustomerId;
  /** The directory with this customer's session files; only the host writes to it. */
  readonly sessionsPath: string;
  /** Bytes of one session in which no further execution starts. Default: no limit. */
  readonly maxBytes?: number | undefined;
  /** Told of every event that this store has brought to disk, in the order of each session. Must not throw. */
  readonly onStored?: ((session: SessionId, event: StoredEvent) => void) | undefined;
  /** Where several servers share the storage: the right of this one to write. */
  readonly fence?: (() => Promise<Fence>) | undefined;
  /** Default: what is written is not encrypted. */
  readonly keys?: SessionKeys | undefined;
}

/**
 * The sessions of one customer.
 *
 * A session has one writer: within a process all handles share it, and another process gets `busy` until the last of
 * them is closed. Reading needs no lock. Keep one store for each customer, since two stores are two writers.
 */
export class SessionStore {
  readonly #folder: SessionFolder;
  readonly #register: ExecutionRegister;
  readonly #open: OpenSessions;
  readonly #places: ExecutionPlaces;
  readonly #maxBytes: number;

  constructor({ customer, sessionsPath: path, maxBytes = Infinity, onStored, fence, keys }: SessionStoreOptions) {
    const folder = new SessionFolder({ customer, path, fence, keys: keys ?? { current: undefined, old: [] } });
    const register = new ExecutionRegister(folder.registerPath);
    this.#folder = folder;
    this.#register = register;
    this.#open = new OpenSessions({ folder, register, maxBytes, onStored });
    this.#places = new ExecutionPlaces({ folder, register, sourceOf: (id) => this.#open.sourceOf(id) });
    this.#maxBytes = maxBytes;
  }

  /** Throws `already_exists` when there is a session with this id. */
  create(id: SessionId = newSessionId()): Promise<SessionLog> {
    return this.#open.open(id, 'create');
  }

  /** Throws `not_found` when there is no such session, `busy` when another process has it open. */
  open(id: SessionId): Promise<SessionLog> {
    return this.#open.open(id, 'open');
  }

  /** Throws `busy` when another process has the session open. */
  openOrCreate(id: SessionId): Promise<SessionLog> {
    return this.#open.open(id, 'openOrCreate');
  }

  /** Whether anybody has a session open to write to it. */
  async isOpen(id: SessionId): Promise<boolean> {
    return this.#open.has(id) || (await this.isOpenElsewhere(id));
  }

  /** Whether another process has a session open to write to it. */
  async isOpenElsewhere(id: SessionId): Promise<boolean> {
    return !this.#open.has(id) && (await this.#folder.isLocked(id));
  }

  /** The ids of all sessions, sorted: those that were made by `newSessionId`, oldest first. */
  list(): Promise<readonly SessionId[]> {
    return this.#folder.list();
  }

  /** How large a session is, and when it was written to. Throws `not_found`. */
  async stat(id: SessionId): Promise<SessionStats> {
    const stats = await this.#folder.findStats(id);
    if (stats === undefined) throw noSession(id);
    return stats;
  }

  /** Bytes of its file; undefined when there is no such session. */
  async size(id: SessionId): Promise<number | undefined> {
    return (await this.#folder.findStats(id))?.bytes;
  }

  /** What a session holds, to read only; undefined when there is no such session. Works while anyone writes to it. */
  async find(id: SessionId): Promise<SessionHistory | undefined> {
    return (await this.#folder.has(id)) ? new SessionHistory(this.#open.sourceOf(id)) : undefined;
  }

  /** As {@link find}, for those who want a part of it: its index says where that is. */
  async findReader(id: SessionId): Promise<SessionReader | undefined> {
    return (await this.#folder.has(id)) ? await SessionReader.open(this.#open.sourceOf(id)) : undefined;
  }

  /** As {@link ExecutionPlaces.locate}. */
  locate(id: ExecutionId): Promise<ExecutionPlace | 'gone' | undefined> {
    return this.#places.locate(id);
  }

  /**
   * The right to start the execution of this id, which one process has at a time, until it lets go of it or ends. What
   * {@link locate} tells whoever has it stays true until then. Waits its turn until the deadline ends.
   */
  claim(id: ExecutionId, deadline: Deadline): Promise<AsyncDisposable> {
    return FileLock.wait(this.#folder.startLockOf(id), deadline);
  }

  /** As {@link ExecutionPlaces.unregistered}. */
  unregistered(): Promise<readonly SessionId[]> {
    return this.#places.unregistered();
  }

  /** All that is recorded of one execution, in order. Iterating throws `not_found`, and `history_gone` when it was deleted. */
  async *readExecution(id: ExecutionId): AsyncGenerator<StoredEvent> {
    const place = await this.locate(id);
    if (place === 'gone') {
      throw new WorkcellError('history_gone', `The session with the execution "${id}" was deleted`);
    }
    const reader = place === undefined ? undefined : await this.findReader(place.session);
    if (place === undefined || reader === undefined) {
      throw new WorkcellError('not_found', `No session of "${this.#folder.customer}" has the execution "${id}"`);
    }
    yield* reader.execution(id, place.start);
  }

  /**
   * Deletes a session, for good. Its executions stay known as `gone`, so that none of them is ever run again. Throws `not_found`,
   * `busy` while anybody has it open, and `invalid_state` unless it was written to before the given time. Cut off by a crash, it may have to be called again.
   */
  async remove(id: SessionId, { writtenBefore }: { readonly writtenBefore?: Date } = {}): Promise<void> {
    // A log whose key is lost can be deleted, too.
    await this.unregistered().catch(unlessKeyMissing);
    await this.#open.meanwhile(id, async () => {
      if (!(await this.#folder.has(id))) throw noSession(id);
      await using lock = await this.#folder.lock(id);
      if (writtenBefore !== undefined && (await this.stat(id)).writtenAt >= writtenBefore) {
        throw new WorkcellError('invalid_state', `Session "${id}" was written to meanwhile`);
      }
      await this.#register.addDeleted(id);
      const { path, indexPath } = this.#folder.sourceOf(id);
      lock.assertHeld();
      await succeeds(unlink(indexPath), ['ENOENT', 'ENOTDIR']);
      await unlink(path);
      await syncFolder(this.#folder.path);
    });
  }

  /**
   * Makes a session of a log that `work` reads and publishes. Throws `already_exists` for an id that a session has; reading throws
   * it for an execution that there is already.
   */
  async importLog<T>(id: SessionId, work: (log: LogImport) => Promise<T>): Promise<T> {
    await this.unregistered();
    await using lock = await this.#folder.lock(id);
    if (await this.#folder.has(id)) throw new WorkcellError('already_exists', `There already is a session "${id}"`);
    await using log = new LogImport({
      source: this.#folder.sourceOf(id),
      register: this.#register,
      assertNew: (execution) => this.#assertNew(execution),
      assertHeld: () => lock.assertHeld(),
      takeTurn: () => this.#takeImportTurn(),
      maxBytes: 2 * this.#maxBytes,
    });
    return await work(log);
  }

  async #takeImportTurn(): Promise<AsyncDisposable> {
    using deadline = new Deadline('Waiting for another import', IMPORT_TURN_MS);
    return await FileLock.wait(this.#folder.importLock, deadline);
  }

  async #assertNew(id: ExecutionId): Promise<void> {
    const place = await this.locate(id);
    if (place === undefined || place === 'gone') return;
    const message = `The execution "${id}" of the archive is in session "${place.session}" already`;
    throw new WorkcellError('already_exists', `${message}; delete that first, or import for another customer`);
  }
}

function noSession(id: SessionId): WorkcellError {
  return new WorkcellError('not_found', `There is no session "${id}"`);
}

function unlessKeyMissing(error: unknown): void {
  if (!isWorkcellError(error) || error.code !== 'invalid_config') throw error;
}
