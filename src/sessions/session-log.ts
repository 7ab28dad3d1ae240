import { WorkcellError } from '../core/errors.ts';
import type { SessionId } from '../core/ids.ts';
import type { SessionEvent, StoredEvent } from './events.ts';
import type { LogFile, Repair } from './log-file.ts';
import { SessionHistory } from './session-history.ts';
import { SessionReader } from './session-reader.ts';

/** One user's handle on a session that is open for writing. All handles of one process append to the same file. */
export class SessionLog implements AsyncDisposable {
  readonly id: SessionId;
  /** What opening the file cut off; undefined when it was whole. */
  readonly repaired: Repair | undefined;
  readonly #file: LogFile;
  readonly #release: () => Promise<void>;
  #closing: Promise<void> | undefined;

  constructor(file: LogFile, release: () => Promise<void>) {
    this.id = file.id;
    this.repaired = file.repaired;
    this.#file = file;
    this.#release = release;
  }

  /**
   * Records an event; it is on disk when this resolves. Events are stored in the order of the calls. Fields beyond
   * `FIELD_LIMITS` are cut and named in `truncated`. Throws `invalid_state` after `close`, `invalid_argument` when a field is
   * not JSON, `storage_full` for an execution that starts in a log at its limit, and `storage_failed` when the disk refuses; the event may be there or not then, and the session has to be
   * opened again.
   */
  async append(event: SessionEvent): Promise<StoredEvent> {
    if (this.#closing === undefined) return await this.#file.append(event);
    throw new WorkcellError('invalid_state', `Cannot record in session "${this.id}": this handle on it is closed`);
  }

  /** For what is no part of an execution. Throws `storage_full` for a log at its limit. */
  assertRoom(): void {
    this.#file.assertRoom();
  }

  /** Whether nothing was recorded but that there is a session. */
  get isEmpty(): boolean {
    return this.#file.isEmpty;
  }

  /** The events that are on disk at this moment. */
  read(): SessionHistory {
    return new SessionHistory(this.#file.source);
  }

  /** The same, for those who want a part of it. Throws `storage_failed` when the log cannot be read. */
  openReader(): Promise<SessionReader> {
    return SessionReader.open(this.#file.source);
  }

  /** Lets go of the session; the last handle lets go of the file and its lock, after everything appended is on disk. */
  close(): Promise<void> {
    this.#closing ??= this.#release();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
