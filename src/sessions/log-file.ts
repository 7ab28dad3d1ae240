import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { CustomerId, SessionId } from '../core/ids.ts';
import { Cleanup } from '../util/cleanup.ts';
import { errnoOf } from '../util/errno.ts';
import { FileLock } from '../util/file-lock.ts';
import { encodeJsonLine, readTail } from '../util/json-lines.ts';
import { boundEvent } from './bound-event.ts';
import { decodeEvent, type SessionEvent, type StoredEvent, stampEvent } from './events.ts';

export interface LogFileOptions {
  readonly id: SessionId;
  readonly customer: CustomerId;
  readonly path: string;
  /** The directory that stands for the right to write; see {@link FileLock}. */
  readonly lockPath: string;
  /** What has to be there: nothing, a file, or either. */
  readonly mode: OpenMode;
  /** Told of every event that is on disk, in their order, before whoever recorded it. Must not throw. */
  readonly onStored?: ((event: StoredEvent) => void) | undefined;
}

export type OpenMode = 'create' | 'open' | 'openOrCreate';

/** What opening cut off: a last line that a crash kept from being written to its end. */
export interface Repair {
  readonly droppedBytes: number;
}

interface Waiting {
  readonly line: Buffer;
  readonly event: StoredEvent;
  readonly written: PromiseWithResolvers<void>;
}

/**
 * The one writer of a session's file.
 *
 * Lines that arrive while others are being written wait for the next write and share its fsync. After a failed write the
 * state of the file is unknown, so every later append is refused until the file is opened again.
 */
export class LogFile {
  readonly id: SessionId;
  readonly path: string;
  readonly repaired: Repair | undefined;
  readonly #file: FileHandle;
  readonly #onStored: LogFileOptions['onStored'];
  readonly #cleanup: Cleanup;
  readonly #waiting: Waiting[] = [];
  #seq: number;
  #size: number;
  #writing: Promise<void> | undefined;
  #failure: WorkcellError | undefined;

  private constructor(options: LogFileOptions, opened: OpenedFile, cleanup: Cleanup) {
    this.id = options.id;
    this.path = options.path;
    this.repaired = opened.repaired;
    this.#file = opened.file;
    this.#onStored = options.onStored;
    this.#seq = opened.seq;
    this.#size = opened.size;
    this.#cleanup = cleanup;
  }

  /**
   * Takes the lock, cuts off a torn last line and, in a file without events, records `session.created`. Throws `busy` when
   * another writer has the file, `not_found` and `already_exists` as `mode` demands, `storage_failed` otherwise.
   */
  static async open(options: LogFileOptions): Promise<LogFile> {
    const cleanup = new Cleanup();
    const what = `session "${options.id}"`;
    try {
      const file = await open(options.path, FLAGS | MODE_FLAGS[options.mode], 0o600);
      cleanup.add(() => file.close());
      const lock = await FileLock.acquire({ path: options.lockPath, what: `Session "${options.id}"` });
      cleanup.add(() => lock.release());
      const log = new LogFile(options, await repair(file, what), cleanup);
      if (log.#seq === 0) await log.#begin(options);
      return log;
    } catch (error) {
      await cleanup.run().catch(() => {});
      throw explainOpenError(what, options.mode, error);
    }
  }

  /** Bytes of the events that are on disk. */
  get size(): number {
    return this.#size;
  }

  /** Resolves when the event is on disk. Throws `invalid_argument` when it is not JSON, `storage_failed` when the disk refuses. */
  async append(event: SessionEvent): Promise<StoredEvent> {
    if (this.#failure !== undefined) throw this.#failure;
    const bounded = boundEvent(event);
    const stored = stampEvent(bounded.event, this.#seq + 1, new Date(), bounded.truncated);
    const waiting = { line: encodeJsonLine(stored), event: stored, written: Promise.withResolvers<void>() };
    this.#seq++;
    this.#waiting.push(waiting);
    this.#writing ??= this.#write();
    await waiting.written.promise;
    return stored;
  }

  /** Waits for what was appended, then lets go of the file and the lock. Call once. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#cleanup.run();
  }

  async #begin(options: LogFileOptions): Promise<void> {
    await syncDirectory(dirname(this.path));
    await this.append({ type: 'session.created', sessionId: options.id, customer: options.customer });
  }

  async #write(): Promise<void> {
    // Appends of the same turn of the event loop share the first write already.
    await Promise.resolve();
    for (let batch = this.#waiting.splice(0); batch.length > 0; batch = this.#waiting.splice(0)) {
      try {
        const lines = Buffer.concat(batch.map(({ line }) => line));
        await this.#file.writeFile(lines);
        await this.#file.datasync();
        this.#size += lines.length;
        for (const { event, written } of batch) {
          this.#onStored?.(event);
          written.resolve();
        }
      } catch (error) {
        this.#failure = explainWriteError(this.id, error);
        for (const { written } of [...batch, ...this.#waiting.splice(0)]) written.reject(this.#failure);
      }
    }
    this.#writing = undefined;
  }
}

interface OpenedFile {
  readonly file: FileHandle;
  readonly seq: number;
  readonly size: number;
  readonly repaired: Repair | undefined;
}

const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW;
const MODE_FLAGS = {
  create: constants.O_CREAT | constants.O_EXCL,
  open: 0,
  openOrCreate: constants.O_CREAT,
} as const satisfies Record<OpenMode, number>;

/** Reads the end of the file and cuts off what is not a whole line. */
async function repair(file: FileHandle, what: string): Promise<OpenedFile> {
  const tail = await readTail(file, what);
  const repaired = await cutTail(file, tail.end);
  const seq = tail.end === 0 ? 0 : decodeEvent(tail.last, `Cannot open ${what}: the last line`).seq;
  return { file, seq, size: tail.end, repaired };
}

async function cutTail(file: FileHandle, end: number): Promise<Repair | undefined> {
  const { size } = await file.stat();
  if (size === end) return undefined;
  await file.truncate(end);
  await file.datasync();
  return { droppedBytes: size - end };
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await directory.sync();
}

function explainOpenError(what: string, mode: OpenMode, error: unknown): WorkcellError {
  if (isWorkcellError(error)) return error;
  const errno = errnoOf(error);
  if (errno === 'ENOENT' && mode === 'open') return new WorkcellError('not_found', `There is no ${what}`);
  if (errno === 'EEXIST') return new WorkcellError('already_exists', `There already is a ${what}; open it instead`);
  return new WorkcellError('storage_failed', `Cannot open ${what}: it failed with ${errno}`, { cause: error });
}

function explainWriteError(id: SessionId, error: unknown): WorkcellError {
  const reason = errnoOf(error) === 'ENOSPC' ? 'the disk is full' : `it failed with ${errnoOf(error)}`;
  return new WorkcellError('storage_failed', `Cannot write to session "${id}": ${reason}; close it and open it again`, {
    cause: error,
  });
}
