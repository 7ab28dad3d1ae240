import { constants } from 'node:fs';
import { copyFile, type FileHandle, lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { CustomerId, SessionId } from '../core/ids.ts';
import { formatSize } from '../core/units.ts';
import { Cleanup } from '../util/cleanup.ts';
import { errnoOf } from '../util/errno.ts';
import type { Fence } from '../util/fenced-lock.ts';
import { FileLock, type FileLockOptions } from '../util/file-lock.ts';
import { readTail } from '../util/json-lines.ts';
import { syncFolder } from '../util/sync-folder.ts';
import { boundEvent } from './bound-event.ts';
import { dropHole } from './drop-hole.ts';
import { type SessionEvent, type StoredEvent, stampEvent } from './events.ts';
import type { Claim, ExecutionRegister } from './execution-register.ts';
import { type Line, lineOf } from './landmark.ts';
import { type IndexedSource, IndexWriter } from './session-index.ts';

export interface LogFileOptions extends Omit<IndexedSource, 'end'> {
  readonly customer: CustomerId;
  /** The right to write, among the processes of this host; of the owner with this token. */
  readonly lock: (token: number | undefined) => FileLockOptions;
  /** Told of every execution that starts in the log. */
  readonly register: ExecutionRegister;
  /** Bytes of a log in which no further execution starts. */
  readonly maxBytes: number;
  /** What has to be there: nothing, a file, or either. */
  readonly mode: OpenMode;
  /** Where several servers share the storage: the right of this one to write. */
  readonly fence?: (() => Promise<Fence>) | undefined;
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
 *
 * A new owner of the customer begins with a copy of the file in its place. What a former one writes to the file that it has
 * open, stopped between its check and its write for as long as it may be, is therefore in no log.
 */
export class LogFile {
  readonly repaired: Repair | undefined;
  readonly #options: LogFileOptions;
  readonly #file: FileHandle;
  readonly #fence: Fence | undefined;
  readonly #index: IndexWriter;
  readonly #cleanup: Cleanup;
  readonly #waiting: Waiting[] = [];
  #seq: number;
  #size: number;
  /** Whether the file's name is on disk: it is by the time that a second event is written. */
  #isNamed: boolean;
  /** Of the index, which nobody waits for but who closes. */
  #indexing: Promise<void> = Promise.resolve();
  #writing: Promise<void> | undefined;
  #failure: WorkcellError | undefined;

  private constructor(
    options: LogFileOptions,
    opened: OpenedFile,
    index: IndexWriter,
    cleanup: Cleanup,
    fence: Fence | undefined,
  ) {
    this.#fence = fence;
    this.repaired = opened.repaired;
    this.#options = options;
    this.#file = opened.file;
    this.#index = index;
    this.#seq = opened.seq;
    this.#size = opened.size;
    this.#isNamed = opened.seq > 1;
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
      const fence = await options.fence?.();
      if (fence !== undefined) cleanup.add(async () => fence[Symbol.asyncDispose]());
      const file = await openLocked(options, fence, cleanup);
      const found = await repair(file, options).catch((error) => withoutHole(file, options, error));
      let opened = fence === undefined ? found : await takeOver(found, fence, options, cleanup);
      let index = await IndexWriter.open({ ...options, end: opened.size });
      if (index.isDamaged) {
        opened = await withoutHole(opened.file, options).catch(() => opened);
        index = await IndexWriter.open({ ...options, end: opened.size });
      }
      const { writer, added } = index;
      cleanup.add(() => writer.close());
      await options.register.add(claimsOf(options.id, added));
      const log = new LogFile(options, opened, writer, cleanup, fence);
      if (log.#seq === 0) {
        await log.append({ type: 'session.created', sessionId: options.id, customer: options.customer });
      }
      return log;
    } catch (error) {
      await cleanup.run().catch(() => {});
      throw explainOpenError(what, options.mode, error);
    }
  }

  get id(): SessionId {
    return this.#options.id;
  }

  /** Whether nothing was recorded but that there is a session. */
  get isEmpty(): boolean {
    return this.#seq <= 1;
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
    this.#fence?.assertHeld();
    if (event.type === 'execution.started') this.assertRoom();
    const bounded = boundEvent(event);
    const stored = stampEvent(bounded.event, this.#seq + 1, new Date(), bounded.truncated, this.#fence?.token);
    const line = this.#options.codec.encode(stored);
    const waiting = { event: stored, line, written: Promise.withResolvers<void>() };
    this.#seq++;
    this.#waiting.push(waiting);
    this.#writing ??= this.#write();
    await waiting.written.promise;
    return stored;
  }

  /** Throws `storage_full` for a log at its limit. */
  assertRoom(): void {
    const { id, maxBytes } = this.#options;
    if (this.#size < maxBytes) return;
    const [has, limit] = [formatSize(this.#size), formatSize(maxBytes)];
    throw new WorkcellError(
      'storage_full',
      `Session "${id}" takes no more: its log has ${has}, and the limit is ${limit}; use another session, or raise sessions.maxSize`,
    );
  }

  /** Waits for what was appended, then lets go of the file and the lock. Call once. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#indexing;
    await this.#cleanup.run();
  }

  async #write(): Promise<void> {
    // Appends of the same turn of the event loop share the first write already.
    await Promise.resolve();
    for (let batch = this.#waiting.splice(0); batch.length > 0; batch = this.#waiting.splice(0)) {
      try {
        const lines = placeLines(batch, this.#size);
        // First, so that no start is ever in a log that its register does not lead to.
        await this.#options.register.add(claimsOf(this.id, lines));
        await this.#sync(batch);
        this.#size = lines.at(-1)?.end ?? this.#size;
        for (const { event, written } of batch) {
          this.#options.onStored?.(event);
          written.resolve();
        }
        this.#indexing = this.#indexing.then(() => this.#index.add(lines));
      } catch (error) {
        this.#failure = explainWriteError(this.id, error);
        for (const { written } of [...batch, ...this.#waiting.splice(0)]) written.reject(this.#failure);
      }
    }
    this.#writing = undefined;
  }

  async #sync(batch: readonly Waiting[]): Promise<void> {
    this.#fence?.assertHeld();
    const written = this.#file
      .writeFile(Buffer.concat(batch.map(({ line }) => line)))
      .then(() => this.#file.datasync());
    await Promise.all([written, this.#isNamed || syncFolder(dirname(this.#options.path))]);
    this.#isNamed = true;
    // Written too late it may be in no log, and must not be acknowledged.
    this.#fence?.assertHeld();
  }
}

/** Opens the file and takes its lock; once more when the file was deleted between the two. */
async function openLocked(options: LogFileOptions, fence: Fence | undefined, cleanup: Cleanup): Promise<FileHandle> {
  for (;;) {
    const file = await open(options.path, FLAGS | MODE_FLAGS[options.mode], 0o600);
    const undo = new Cleanup();
    undo.add(() => file.close());
    try {
      const lock = await FileLock.acquire(options.lock(fence?.token));
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

/** Puts a copy in the place of a file that a former owner may still have open. */
async function takeOver(
  found: OpenedFile,
  fence: Fence,
  { path, id, mode, lock }: LogFileOptions,
  cleanup: Cleanup,
): Promise<OpenedFile> {
  if (mode === 'create' || found.lease === fence.token) return found;
  if ((found.lease ?? 0) > fence.token)
    throw new WorkcellError('busy', `Session "${id}" is written by another server; send the request there`);
  const folder = dirname(path);
  const copy = join(folder, `.${id}.${fence.token}.copy`);
  // A former owner that was stopped right before it put its own copy in place must not find that any more.
  for (const name of await readdir(folder))
    if (name.startsWith(`.${id}.`) && name.endsWith('.copy')) await rm(join(folder, name), { force: true });
  await copyFile(path, copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const file = await open(copy, FLAGS);
  cleanup.add(() => file.close());
  await file.sync();
  fence.assertHeld();
  await rename(copy, path);
  await syncFolder(folder);
  if (found.lease !== undefined) await rm(lock(found.lease).path, { recursive: true, force: true });
  return { ...found, file };
}

interface OpenedFile {
  readonly file: FileHandle;
  readonly seq: number;
  readonly size: number;
  /** Of the last event. */
  readonly lease: number | undefined;
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
  const last = tail.end === 0 ? undefined : codec.reader().decode(tail.last, `Cannot open ${what}: the last line`);
  const lease = last?.kind === 'event' ? last.event.lease : undefined;
  return { file, seq: last?.seq ?? 0, size: tail.end, lease, repaired };
}

/** As {@link repair}, without what follows a page that was lost. Throws `error`, or why, when there is none. */
async function withoutHole(file: FileHandle, options: LogFileOptions, error?: unknown): Promise<OpenedFile> {
  const { id } = options;
  const damaged = error ?? new WorkcellError('storage_failed', `Session "${id}" is damaged`);
  if (!isWorkcellError(damaged) || damaged.code !== 'storage_failed') throw damaged;
  const droppedBytes = await dropHole(file, options);
  if (droppedBytes === 0) throw damaged;
  return { ...(await repair(file, options)), repaired: { droppedBytes } };
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
  if (isWorkcellError(error)) return error;
  const errno = errnoOf(error);
  if (['ENOSPC', 'EDQUOT'].includes(errno)) {
    return new WorkcellError('storage_full', `Cannot write to session "${id}": the disk is full; free space`, {
      cause: error,
    });
  }
  return new WorkcellError('storage_failed', `Cannot write to session "${id}": it failed with ${errno}`, {
    cause: error,
  });
}
