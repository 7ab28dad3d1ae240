import { WorkcellError } from '../core/errors.ts';
import type { SessionId } from '../core/ids.ts';
import { readJsonLines } from '../util/json-lines.ts';
import { decodeEvent, type StoredEvent } from './events.ts';

/**
 * The events of a session as they are on disk, oldest first; each iteration reads from the beginning.
 *
 * Iterating throws `storage_failed`, naming the line, for one that is not an event or is out of order. A line that is
 * still being written ends the iteration.
 */
export class SessionHistory implements AsyncIterable<StoredEvent> {
  readonly id: SessionId;
  readonly #path: string;
  readonly #end: number;
  #skipped = 0;

  /** `end`: the byte to stop at. */
  constructor(id: SessionId, path: string, end = Infinity) {
    this.id = id;
    this.#path = path;
    this.#end = end;
  }

  /** How many events the last iteration left out because a later version of Workcell wrote them. */
  get skipped(): number {
    return this.#skipped;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<StoredEvent> {
    this.#skipped = 0;
    const what = `session "${this.id}"`;
    for await (const { number, value } of readJsonLines(this.#path, what, this.#end)) {
      const subject = `Cannot read ${what}: line ${number}`;
      const decoded = decodeEvent(value, subject);
      if (decoded.seq !== number) {
        throw new WorkcellError('storage_failed', `${subject} has the sequence number ${decoded.seq}`);
      }
      if (decoded.kind === 'event') yield decoded.event;
      else this.#skipped++;
    }
  }
}
