import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { CustomerId, SessionId } from '../core/ids.ts';
import { formatSize } from '../core/units.ts';
import { Cleanup } from '../util/cleanup.ts';
import { errnoOf } from '../util/errno.ts';
import { FileLock, type FileLockOptions } from '../util/file-lock.ts';
import { readTail } from '../util/json-lines.ts';
import { syncFolder } from '../util/sync-folder.ts';
import { boundEvent } from './bound-event.ts';
import { type SessionEvent, type StoredEvent, stampEvent } from './events.ts';
import type { Claim, ExecutionRegister } from './execution-register.ts';
import type { Line } from './landmark.ts';
import { type IndexedSource, IndexWriter } from './session-index.ts';

export interface LogFileOptions extends Omit<IndexedSource, 'end'> {
  readonly customer: CustomerId;
  /** The right to write. */
  readonly lock: FileLockOptions;
  /** Told of every execution that starts in the log. */
  readonly register: ExecutionRegister;
  /** Bytes of a log in which no further execution starts. */
  readonly maxBytes: number;
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
  readonly event: StoredEvent;
  readonly line: Buffer;
  readonly written: PromiseWithResolvers<void>;
}

/**
 * The one writer of a session's file.
 *
 * Lines that arrive while others are being written wait for the next write and share its fsync. After a failed write the
 * state of the file is unknown, so every later append is refused until the file is opened again.
 */
export class LogFile {
  readonly repaired: Repair | undefined;
  readonly #options: LogFileOptions;
  readonly #file: FileHandle;
  readonly #index: IndexWriter;
  readonly #cleanup: Cleanup;
  readonly #waiting: Waiting[] = [];
  #seq: number;
  #size: number;
  #writing: Promise<void> | undefined;
  #failure: WorkcellError | undefined;

  private constructor(options: LogFileOptions, opened: OpenedFile, index: IndexWriter, cleanup: Cleanup) {
    this.repaired = opened.repaired;
    this.#options = options;
    this.#file = opened.file;
    this.#index = index;
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
      const file = await openLocked(options, cleanup);
      const opened = await repair(file, options);
      const { writer, added } = await IndexWriter.open({ ...options, end: opened.size });
      cleanup.add(() => writer.close());
      await options.register.add(claimsOf(options.id, added));
      const log = new LogFile(options, opened, writer, cleanup);
      if (log.#seq === 0) await log.#begin();
      return log;
    } catch (error) {
      await cleanup.run().catch(() => {});
      throw explainOpenError(what, options.mode, error);
    }
  }

  get id(): SessionId {
    return this.#options.id;
  }

  /** What is on disk at this moment. */
  get source(): IndexedSource {
    const { id, path, indexPath, codec } = this.#options;
    return { id, path, indexPath, codec, end: this.#size };
  }

  /**
   * Resolves when the event is on disk. Throws `invalid_argument` when it is not JSON, `storage_full` for the start of an
   * execution in a log that is large enough, `storage_failed` when the disk refuses.
   */
  async append(event: SessionEvent): Promise<StoredEvent> {
    if (this.#failure !== undefined) throw this.#failure;
    if (event.type === 'execution.started') this.#assertRoom();
    const bounded = boundEvent(event);
    const stored = stampEvent(bounded.event, this.#seq + 1, new Date(), bounded.truncated);
    const line = this.#options.codec.encode(stored);
    const waiting = { event: stored, line, written: Promise.withResolvers<void>() };
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

  async #begin(): Promise<void> {
    const { id, customer, path } = this.#options;
    await syncFolder(dirname(path));
    await this.append({ type: 'session.created', sessionId: id, customer });
  }

  #assertRoom(): void {
    const { id, maxBytes } = this.#options;
    if (this.#size < maxBytes) return;
    const [has, limit] = [formatSize(this.#size), formatSize(maxBytes)];
    throw new WorkcellError(
      'storage_full',
      `Cannot start an execution in session "${id}": its log has ${has}, and the limit is ${limit}; use another session, or raise sessions.maxSize`,
    );
  }

  async #write(): Promise<void> {
    // Appends of the same turn of the event loop share the first write already.
    await Promise.resolve();
    for (let batch = this.#waiting.splice(0); batch.length > 0; batch = this.#waiting.splice(0)) {
      try {
        const lines = placeLines(batch, this.#size);
        await Promise.all([this.#sync(batch), this.#options.register.add(claimsOf(this.id, lines))]);
        this.#size = lines.at(-1)?.end ?? this.#size;
        for (const { event, written } of batch) {
          this.#options.onStored?.(event);
          written.resolve();
        }
        await this.#index.add(lines);
      } catch (error) {
        this.#failure = explainWriteError(this.id, error);
        for (const { written } of [...batch, ...this.#waiting.splice(0)]) written.reject(this.#failure);
      }
    }
    this.#writing = undefined;
  }

  async #sync(batch: readonly Waiting[]): Promise<void> {
    await this.#file.writeFile(Buffer.concat(batch.map(({ line }) => line)));
    await this.#file.datasync();
  }
}

/** Opens the file and takes its lock; once more when the file was deleted between the two. */
async function openLocked(options: LogFileOptions, cleanup: Cleanup): Promise<FileHandle> {
  for (;;) {
    const file = await open(options.path, FLAGS | MODE_FLAGS[options.mode], 0o600);
    const undo = new Cleanup();
    undo.add(() => file.close());
    try {
      const lock = await FileLock.acquire(options.lock);
      undo.add(() => lock.release());
      const [mine, there] = await Promise.all([file.stat(), lstat(options.path).catch(() => undefined)]);
      if (mine.ino === there?.ino) {
        cleanup.add(() => undo.run());
        return file;
      }
    } catch (error) {
      await undo.run().catch(() => {});
      throw error;
    }
    await undo.run();
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
async function repair(file: FileHandle, { id, codec }: LogFileOptions): Promise<OpenedFile> {
  const what = `session "${id}"`;
  const tail = await readTail(file, what);
  if (codec.isSealed(tail.last) && !codec.seals) {
    const message = `Cannot write to ${what}: it is encrypted, and there is no key to go on with; set sessions.encryptionKey`;
    throw new WorkcellError('invalid_config', message);
  }
  const repaired = await cutTail(file, tail.end);
  const seq = tail.end === 0 ? 0 : codec.reader().decode(tail.last, `Cannot open ${what}: the last line`).seq;
  return { file, seq, size: tail.end, repaired };
}

async function cutTail(file: FileHandle, end: number): Promise<Repair | undefined> {
  const { size } = await file.stat();
  if (size === end) return undefined;
  await file.truncate(end);
  await file.datasync();
  return { droppedBytes: size - end };
}

function placeLines(batch: readonly Waiting[], size: number): readonly Line[] {
  let end = size;
  return batch.map(({ event, line }) => {
    const start = end;
    end += line.length;
    return lineOf(event, start, end);
  });
}

/** What the index has to know of an event that is between these bytes. */
export function lineOf(event: StoredEvent, start: number, end: number): Line {
  const executionId = 'executionId' in event ? event.executionId : undefined;
  return { type: event.type, executionId, seq: event.seq, start, end };
}

/** What the register has to know of these. */
export function claimsOf(session: SessionId, lines: Iterable<Line>): Claim[] {
  const claims: Claim[] = [];
  for (const { type, executionId, start } of lines) {
    if (type === 'execution.started' && executionId !== undefined) claims.push({ executionId, session, start });
  }
  return claims;
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
