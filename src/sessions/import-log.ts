import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { type ExecutionId, parseExecutionId } from '../core/ids.ts';
import { formatSize } from '../core/units.ts';
import { type JsonLine, parseJsonLines } from '../util/json-lines.ts';
import { syncFolder } from '../util/sync-folder.ts';
import { decodeEvent, type StoredEvent } from './events.ts';
import type { ExecutionRegister } from './execution-register.ts';
import { type Line, lineOf } from './landmark.ts';
import { claimsOf } from './log-file.ts';
import { LogOrder } from './log-order.ts';
import { type IndexedSource, IndexWriter, readIndex } from './session-index.ts';

export interface LogImportOptions {
  /** The session that it becomes. */
  readonly source: IndexedSource;
  readonly register: ExecutionRegister;
  /** Throws for an execution that there is already. */
  readonly assertNew: (id: ExecutionId) => Promise<void>;
  /** Throws when another server may own the customer by now. */
  readonly assertHeld: () => void;
  /** The right to make executions known that came from elsewhere, which one process has at a time. */
  readonly takeTurn: () => Promise<AsyncDisposable>;
  /** Bytes of the log as it comes. */
  readonly maxBytes: number;
}

export interface ImportedLog {
  readonly events: number;
  readonly executions: number;
}

const CLAIMS_AT_ONCE = 10_000;
const BATCH_BYTES = 4 * 1024 * 1024;

/**
 * A log that comes from elsewhere, written beside where it belongs: there as a whole when {@link publish} resolves, or not at
 * all. The lock of the session has to be held.
 */
export class LogImport implements AsyncDisposable {
  readonly #options: LogImportOptions;
  readonly #temporary: IndexedSource;
  readonly #order = new LogOrder();
  #file: FileHandle | undefined;
  #index: IndexWriter | undefined;
  #batch: { readonly line: Line; readonly bytes: Buffer }[] = [];
  #size = 0;
  #written = 0;
  #events = 0;
  #executions = 0;

  constructor(options: LogImportOptions) {
    const { path, indexPath } = options.source;
    this.#options = options;
    const beside = (file: string) => join(dirname(file), `.${basename(file)}.import`);
    this.#temporary = { ...options.source, path: beside(path), indexPath: beside(indexPath) };
  }

  /**
   * Takes in a log that is not encrypted. Throws `invalid_argument` for a line that is not the next event of a session, and
   * `storage_full` beyond the limit.
   */
  async read(bytes: AsyncIterable<Uint8Array>): Promise<ImportedLog> {
    await this.#removeTemporary();
    this.#file = await open(this.#temporary.path, 'wx', 0o600);
    let [received, end] = [0, 0];
    const counted = this.#bounded(bytes, (count) => {
      received += count;
    });
    try {
      for await (const line of parseJsonLines(counted, 'the log of the archive')) {
        await this.#take(line);
        end = line.end;
      }
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'storage_failed') throw error;
      throw new WorkcellError('invalid_argument', error.message, { cause: error });
    }
    await this.#flush();
    await this.#file.datasync();
    if (end === received && end > 0) return { events: this.#events, executions: this.#executions };
    throw new WorkcellError('invalid_argument', 'The log of the archive does not end with a whole line');
  }

  /** Makes it the session. Throws `storage_failed`, and as reading does for executions that have come since. */
  async publish(): Promise<void> {
    const { source, register, assertNew, assertHeld, takeTurn } = this.#options;
    await this.#index?.close();
    // Before the session is there, so that none of its executions is ever there and not known; from here on none of them starts.
    const claims = claimsOf(source.id, (await readIndex(this.#temporary)).forward());
    for (let at = 0; at < claims.length; at += CLAIMS_AT_ONCE)
      await register.add(claims.slice(at, at + CLAIMS_AT_ONCE));
    await using _turn = await takeTurn();
    for (const { executionId } of claims) await assertNew(parseExecutionId(executionId));
    assertHeld();
    // The index comes first: it is believed only for the log that it belongs to.
    await rename(this.#temporary.indexPath, source.indexPath).catch(() => {});
    await rename(this.#temporary.path, source.path);
    await syncFolder(dirname(source.path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#index?.close();
    await this.#file?.close();
    await this.#removeTemporary();
  }

  async *#bounded(bytes: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
    const { maxBytes } = this.#options;
    let left = maxBytes;
    for await (const chunk of bytes) {
      count(chunk.length);
      left -= chunk.length;
      if (left >= 0) yield chunk;
      else {
        const limit = formatSize(maxBytes);
        throw new WorkcellError(
          'storage_full',
          `The log of the archive has more than ${limit}; raise sessions.maxSize`,
        );
      }
    }
  }

  async #take({ number, value }: JsonLine): Promise<void> {
    const event = this.#decode(value, number);
    if (event.type === 'execution.started') {
      await this.#options.assertNew(parseExecutionId(event.executionId));
      this.#executions += 1;
    }
    this.#events += 1;
    const bytes = this.#options.source.codec.encode(event);
    const start = this.#size;
    this.#size += bytes.length;
    this.#batch.push({ line: lineOf(event, start, this.#size), bytes });
    if (this.#size - this.#written >= BATCH_BYTES) await this.#flush();
  }

  #decode(value: unknown, number: number): StoredEvent {
    const subject = `Cannot read the log of the archive: line ${number}`;
    const decoded = decodeEvent(value, subject);
    const isKnown = decoded.kind === 'event';
    const problem = isKnown
      ? this.#order.refuse(decoded.event)
      : 'is from a later version of Workcell; import it with that';
    if (problem !== undefined || !isKnown) throw new WorkcellError('invalid_argument', `${subject} ${problem}`);
    // Tokens of another storage say nothing here.
    const { lease: _, ...event } = decoded.event;
    return event;
  }

  async #flush(): Promise<void> {
    const batch = this.#batch.splice(0);
    const lines = batch.map(({ line }) => line);
    await this.#file?.writeFile(Buffer.concat(batch.map(({ bytes }) => bytes)));
    this.#written = this.#size;
    this.#index ??= (await IndexWriter.open({ ...this.#temporary, end: 0 })).writer;
    await this.#index.add(lines);
  }

  async #removeTemporary(): Promise<void> {
    for (const path of [this.#temporary.path, this.#temporary.indexPath]) await rm(path, { force: true });
  }
}
