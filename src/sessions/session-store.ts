import { constants } from 'node:fs';
import { lstat, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import {
  type CustomerId,
  type ExecutionId,
  newSessionId,
  parseExecutionId,
  parseSessionId,
  type SessionId,
} from '../core/ids.ts';
import type { Deadline } from '../util/deadline.ts';
import { errnoOf, succeeds } from '../util/errno.ts';
import { FileLock, type FileLockOptions } from '../util/file-lock.ts';
import { syncFolder } from '../util/sync-folder.ts';
import { Turns } from '../util/turns.ts';
import type { StoredEvent } from './events.ts';
import { ExecutionRegister } from './execution-register.ts';
import { LogImport } from './import-log.ts';
import { claimsOf, LogFile, type OpenMode, type SessionFence } from './log-file.ts';
import { sessionLines } from './sealed-lines.ts';
import type { SessionKeys } from './sealing.ts';
import { SessionHistory } from './session-history.ts';
import { type IndexedSource, IndexWriter, readIndex } from './session-index.ts';
import { SessionLog } from './session-log.ts';
import { SessionReader } from './session-reader.ts';

const SUFFIX = '.jsonl';
const INDEXES = '.index';
const REGISTER = '.executions';

export interface SessionStoreOptions {
  readonly customer: CustomerId;
  /** The directory with this customer's session files; only the host writes to it. */
  readonly sessionsPath: string;
  /** Bytes of one session in which no further execution starts. Default: no limit. */
  readonly maxBytes?: number | undefined;
  /** Told of every event that this store has brought to disk, in the order of each session. Must not throw. */
  readonly onStored?: ((session: SessionId, event: StoredEvent) => void) | undefined;
  /** Where several servers share the storage: the right of this one to write. */
  readonly fence?: (() => Promise<SessionFence>) | undefined;
  /** Default: what is written is not encrypted. */
  readonly keys?: SessionKeys | undefined;
}

export interface SessionStats {
  readonly bytes: number;
  readonly writtenAt: Date;
}

/** Where an execution is recorded. */
export interface ExecutionPlace {
  readonly session: SessionId;
  /** The byte of the log at which it starts. */
  readonly start: number;
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
  readonly #maxBytes: number;
  readonly #keys: SessionKeys;
  readonly #register: ExecutionRegister;
  readonly #onStored: SessionStoreOptions['onStored'];
  readonly #fence: SessionStoreOptions['fence'];
  readonly #shared = new Map<SessionId, SharedFile>();
  /** Opening and closing take turns, so that each finds the files in the state that the one before left. */
  readonly #turns = new Turns();
  #registered: Promise<readonly SessionId[]> | undefined;

  constructor(options: SessionStoreOptions) {
    this.#customer = options.customer;
    this.#directory = options.sessionsPath;
    this.#maxBytes = options.maxBytes ?? Infinity;
    this.#keys = options.keys ?? { current: undefined, old: [] };
    this.#register = new ExecutionRegister(join(this.#directory, REGISTER));
    this.#onStored = options.onStored;
    this.#fence = options.fence;
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
    return (await this.#has(id)) ? new SessionHistory(this.#sourceOf(id)) : undefined;
  }

  /** As {@link find}, for those who want a part of it: its index says where that is. */
  async findReader(id: SessionId): Promise<SessionReader | undefined> {
    return (await this.#has(id)) ? await SessionReader.open(this.#sourceOf(id)) : undefined;
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
    return (await this.#names()).flatMap(idOf).sort();
  }

  /**
   * Where an execution is, without reading logs; `gone` when its session was deleted, undefined when there never was one.
   * An execution is here as soon as its start is on disk, whoever wrote it.
   */
  async locate(id: ExecutionId): Promise<ExecutionPlace | 'gone' | undefined> {
    await this.unregistered();
    for (const entry of await this.#register.find(id)) {
      if (entry === 'gone') return entry;
      if (!(await this.#has(entry.session))) return 'gone';
      if (await this.#startsAt(id, entry)) return entry;
    }
    return undefined;
  }

  /**
   * The right to start the execution of this id, which one process has at a time, until it lets go of it or ends. What
   * {@link locate} tells whoever has it stays true until then. Waits its turn until the deadline ends.
   */
  claim(id: ExecutionId, deadline: Deadline): Promise<AsyncDisposable> {
    const path = join(this.#directory, `.${parseExecutionId(id)}.start`);
    return FileLock.wait({ path, what: `The execution "${id}"` }, deadline);
  }

  /** All that is recorded of one execution, in order. Iterating throws `not_found`, and `history_gone` when it was deleted. */
  async *readExecution(id: ExecutionId): AsyncGenerator<StoredEvent> {
    const place = await this.locate(id);
    if (place === 'gone') {
      throw new WorkcellError('history_gone', `The session with the execution "${id}" was deleted`);
    }
    const reader = place === undefined ? undefined : await this.findReader(place.session);
    if (place === undefined || reader === undefined) {
      throw new WorkcellError('not_found', `No session of "${this.#customer}" has the execution "${id}"`);
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
    await this.#turns.take(async () => {
      if (!(await this.#has(id))) throw new WorkcellError('not_found', `There is no session "${id}"`);
      await using _lock = await this.#lock(id);
      if (writtenBefore !== undefined && (await this.stat(id)).writtenAt >= writtenBefore) {
        throw new WorkcellError('invalid_state', `Session "${id}" was written to meanwhile`);
      }
      await this.#register.addDeleted(id);
      const { path, indexPath } = this.#sourceOf(id);
      await succeeds(unlink(indexPath), ['ENOENT', 'ENOTDIR']);
      await unlink(path);
      await syncFolder(this.#directory);
    });
  }

  /**
   * Makes a session of a log that `work` reads and publishes. Throws `already_exists` for an id that a session has; reading throws
   * it for an execution that there is already.
   */
  async importLog<T>(id: SessionId, work: (log: LogImport) => Promise<T>): Promise<T> {
    await this.unregistered();
    await using _lock = await this.#lock(id);
    if (await this.#has(id)) throw new WorkcellError('already_exists', `There already is a session "${id}"`);
    await using log = new LogImport({
      source: this.#sourceOf(id),
      register: this.#register,
      assertNew: (execution) => this.#assertNew(execution),
      maxBytes: 2 * this.#maxBytes,
    });
    return await work(log);
  }

  /** How large a session is, and when it was written to. Throws `not_found`. */
  async stat(id: SessionId): Promise<SessionStats> {
    try {
      const { size, mtime } = await lstat(this.#pathOf(id));
      return { bytes: size, writtenAt: mtime };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') throw new WorkcellError('not_found', `There is no session "${id}"`);
      throw error;
    }
  }

  /** Whether anybody has a session open to write to it. */
  async isOpen(id: SessionId): Promise<boolean> {
    return this.#shared.has(id) || (await this.isOpenElsewhere(id));
  }

  /** Whether another process has a session open to write to it. */
  async isOpenElsewhere(id: SessionId): Promise<boolean> {
    if (this.#shared.has(id)) return false;
    try {
      await using fence = await this.#fence?.();
      return await FileLock.isHeld(this.#lockOf(id, fence?.token).path);
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'busy') throw error;
      return true;
    }
  }

  /**
   * The sessions whose executions {@link locate} cannot know, since their logs cannot be read. Registers, once, what lies in
   * logs that came here without their index.
   */
  async unregistered(): Promise<readonly SessionId[]> {
    this.#registered ??= this.#registerAll();
    this.#registered.catch(() => {
      this.#registered = undefined;
    });
    return await this.#registered;
  }

  async #assertNew(id: ExecutionId): Promise<void> {
    const place = await this.locate(id);
    if (place === undefined || place === 'gone') return;
    const message = `The execution "${id}" of the archive is in session "${place.session}" already`;
    throw new WorkcellError('already_exists', `${message}; delete that first, or import for another customer`);
  }

  async #registerAll(): Promise<readonly SessionId[]> {
    const indexes = readdir(join(this.#directory, INDEXES)).catch(() => []);
    const known = new Set((await this.#register.exists()) ? await indexes : []);
    const unreadable: SessionId[] = [];
    for (const id of await this.list()) {
      if (known.has(id)) continue;
      try {
        await this.#registerLog(id);
      } catch (error) {
        if (!isStorageFailure(error)) throw error;
        unreadable.push(id);
      }
    }
    return unreadable;
  }

  async #registerLog(id: SessionId): Promise<void> {
    const source = this.#sourceOf(id);
    const landmarks = await readIndex(source);
    await this.#register.add(claimsOf(id, landmarks.forward()));
    try {
      await using _lock = await this.#lock(id);
      const { writer } = await IndexWriter.open(source);
      await writer.close();
    } catch (error) {
      // Whoever writes to the session writes its index, too.
      if (!isWorkcellError(error) || error.code !== 'busy') throw error;
    }
  }

  async #startsAt(id: ExecutionId, { session, start }: ExecutionPlace): Promise<boolean> {
    const source = this.#sourceOf(session);
    // A crash can leave a claim without its start, and something else where that would have been.
    if (!(await startsLine(source.path, start))) return false;
    const event = await new SessionHistory(source).eventAt(start);
    return event?.type === 'execution.started' && event.executionId === id;
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
    return await LogFile.open({
      ...this.#sourceOf(id),
      customer: this.#customer,
      lock: (token) => this.#lockOf(id, token),
      register: this.#register,
      maxBytes: this.#maxBytes,
      mode,
      fence: this.#fence,
      onStored: (event) => this.#onStored?.(id, event),
    });
  }

  async #has(id: SessionId): Promise<boolean> {
    return await succeeds(lstat(this.#pathOf(id)), ['ENOENT']);
  }

  /** The log as far as it is on disk, where this process writes it. */
  #sourceOf(id: SessionId): IndexedSource {
    const open = this.#shared.get(id);
    if (open !== undefined) return open.file.source;
    const codec = sessionLines({ customer: this.#customer, session: id }, this.#keys);
    return { id, path: this.#pathOf(id), indexPath: join(this.#directory, INDEXES, id), codec };
  }

  #pathOf(id: SessionId): string {
    return join(this.#directory, `${parseSessionId(id)}${SUFFIX}`);
  }

  /** Keeps everybody else from writing. */
  async #lock(id: SessionId): Promise<AsyncDisposable> {
    const fence = await this.#fence?.();
    try {
      const lock = await FileLock.acquire(this.#lockOf(id, fence?.token));
      return {
        [Symbol.asyncDispose]: async () => {
          await lock.release();
          await fence?.[Symbol.asyncDispose]();
        },
      };
    } catch (error) {
      await fence?.[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A former owner on this host may hold its lock for as long as it is stopped, so each has its own. */
  #lockOf(id: SessionId, token: number | undefined): FileLockOptions {
    const name = token === undefined ? `.${id}.lock` : `.${id}.${token}.lock`;
    return { path: join(this.#directory, name), what: `Session "${id}"` };
  }

  async #names(): Promise<readonly string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      const message = `Cannot list the sessions of "${this.#customer}": it failed with ${errnoOf(error)}`;
      throw new WorkcellError('storage_failed', message, { cause: error });
    }
  }
}

async function startsLine(path: string, start: number): Promise<boolean> {
  if (start === 0) return true;
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, start - 1);
  return bytesRead === 1 && buffer.toString() === '\n';
}

function unlessKeyMissing(error: unknown): void {
  if (!isWorkcellError(error) || error.code !== 'invalid_config') throw error;
}

function isStorageFailure(error: unknown): boolean {
  return isWorkcellError(error) && error.code === 'storage_failed';
}

function idOf(name: string): readonly SessionId[] {
  if (!name.endsWith(SUFFIX)) return [];
  try {
    return [parseSessionId(name.slice(0, -SUFFIX.length))];
  } catch {
    return [];
  }
}
