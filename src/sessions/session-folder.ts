import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { type CustomerId, type ExecutionId, parseExecutionId, parseSessionId, type SessionId } from '../core/ids.ts';
import { errnoOf, succeeds } from '../util/errno.ts';
import { acquireFencedLock, type Fence, type FencedLock } from '../util/fenced-lock.ts';
import { FileLock, type FileLockOptions } from '../util/file-lock.ts';
import { sessionLines } from './sealed-lines.ts';
import type { SessionKeys } from './sealing.ts';
import type { IndexedSource } from './session-index.ts';

const SUFFIX = '.jsonl';
const INDEXES = '.index';
const REGISTER = '.executions';

export interface SessionFolderOptions {
  readonly customer: CustomerId;
  readonly path: string;
  readonly keys: SessionKeys;
  readonly fence: (() => Promise<Fence>) | undefined;
}

export interface SessionStats {
  readonly bytes: number;
  readonly writtenAt: Date;
}

/** Where the sessions of one customer lie, how their lines are read, and the right to write to them. */
export class SessionFolder {
  readonly customer: CustomerId;
  readonly path: string;
  readonly registerPath: string;
  /** Where several servers share the storage: the right of this one to write. */
  readonly fence: (() => Promise<Fence>) | undefined;
  readonly #keys: SessionKeys;

  constructor({ customer, path, keys, fence }: SessionFolderOptions) {
    this.customer = customer;
    this.path = path;
    this.registerPath = join(path, REGISTER);
    this.fence = fence;
    this.#keys = keys;
  }

  /** The ids of all sessions, sorted. Throws `storage_failed`. */
  async list(): Promise<readonly SessionId[]> {
    try {
      return (await readdir(this.path)).flatMap(idOf).sort();
    } catch (error) {
      const message = `Cannot list the sessions of "${this.customer}": it failed with ${errnoOf(error)}`;
      throw new WorkcellError('storage_failed', message, { cause: error });
    }
  }

  /** The names of the sessions that have an index, and perhaps of others. */
  async indexed(): Promise<readonly string[]> {
    return await readdir(join(this.path, INDEXES)).catch(() => []);
  }

  async has(id: SessionId): Promise<boolean> {
    return await succeeds(lstat(this.#pathOf(id)), ['ENOENT']);
  }

  /** Undefined when there is no such session. */
  async findStats(id: SessionId): Promise<SessionStats | undefined> {
    try {
      const { size, mtime } = await lstat(this.#pathOf(id));
      return { bytes: size, writtenAt: mtime };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  sourceOf(id: SessionId): IndexedSource {
    const codec = sessionLines({ customer: this.customer, session: id }, this.#keys);
    return { id, path: this.#pathOf(id), indexPath: join(this.path, INDEXES, id), codec };
  }

  /** Keeps everybody else from writing to a session. Throws `busy` while somebody does. */
  async lock(id: SessionId): Promise<FencedLock> {
    return await acquireFencedLock({ fence: this.fence, lock: (token) => this.lockOf(id, token) });
  }

  /** Whether somebody writes to a session. Keeps nobody from it. */
  async isLocked(id: SessionId): Promise<boolean> {
    try {
      await using fence = await this.fence?.();
      return await FileLock.isHeld(this.lockOf(id, fence?.token).path);
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'busy') throw error;
      return true;
    }
  }

  lockOf(id: SessionId, token: number | undefined): FileLockOptions {
    const name = token === undefined ? `.${id}.lock` : `.${id}.${token}.lock`;
    return { path: join(this.path, name), what: `Session "${id}"` };
  }

  /** Stands for the right to start an execution. */
  startLockOf(id: ExecutionId): FileLockOptions {
    return { path: join(this.path, `.${parseExecutionId(id)}.start`), what: `The execution "${id}"` };
  }

  /** Stands for the right to make executions known that came from elsewhere. */
  get importLock(): FileLockOptions {
    return { path: join(this.path, '.import.turn'), what: `The import of a session of "${this.customer}"` };
  }

  #pathOf(id: SessionId): string {
    return join(this.path, `${parseSessionId(id)}${SUFFIX}`);
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
