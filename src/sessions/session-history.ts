import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { WorkcellError } from '../core/errors.ts';
import type { SessionId } from '../core/ids.ts';
import { readJsonLines, readTail } from '../util/json-lines.ts';
import type { StoredEvent } from './events.ts';
import { type Line, lineOf } from './landmark.ts';
import type { LineCodec } from './line-codec.ts';

/** A session's log, to read. */
export interface SessionSource {
  readonly id: SessionId;
  readonly path: string;
  readonly codec: LineCodec;
  /** The byte to stop at; default the end of the file. */
  readonly end?: number | undefined;
}

/** A part of a log. Default: all of it. */
export interface HistoryRange {
  /** Begins with the line that is here. */
  readonly from?: { readonly start: number; readonly seq: number } | undefined;
  /** Begins after the line that is here. */
  readonly after?: { readonly end: number; readonly seq: number } | undefined;
  /** The byte to stop at. */
  readonly end?: number | undefined;
}

/** One line, and the event in it unless a later version of Workcell wrote it. */
export interface HistoryLine extends Line {
  readonly event: StoredEvent | undefined;
}

/**
 * The events of a session as they are on disk, oldest first; each iteration reads from the beginning.
 *
 * Iterating throws `storage_failed`, naming the line, for one that is not an event or is out of order. A line that is
 * still being written ends the iteration.
 */
export class SessionHistory implements AsyncIterable<StoredEvent> {
  readonly id: SessionId;
  readonly #source: SessionSource;
  #skipped = 0;
  #isSealed: boolean | undefined;

  constructor(source: SessionSource) {
    this.id = source.id;
    this.#source = source;
  }

  /** How many events the last iteration left out because a later version of Workcell wrote them. */
  get skipped(): number {
    return this.#skipped;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<StoredEvent> {
    this.#skipped = 0;
    for await (const { event } of this.lines()) {
      if (event !== undefined) yield event;
      else this.#skipped++;
    }
  }

  /** Every line of a part of the log, and where it is. Throws as iterating does. */
  async *lines({ from, after, end }: HistoryRange = {}): AsyncGenerator<HistoryLine> {
    const { path, codec } = this.#source;
    const what = `session "${this.id}"`;
    const start = from?.start ?? after?.end ?? 0;
    const before = from === undefined ? (after?.seq ?? 0) : from.seq - 1;
    const stop = Math.min(end ?? Infinity, this.#source.end ?? Infinity);
    const reader = codec.reader(start > 0 && (await this.#beginsSealed()));
    let owner = 0;
    let fenced = 0;
    for await (const line of readJsonLines(path, what, { start, end: stop })) {
      const number = before + line.number - fenced;
      const subject = `Cannot read ${what}: line ${number}`;
      const decoded = reader.decode(line.value, subject);
      const lease = decoded.kind === 'event' ? decoded.event.lease : undefined;
      if (lease !== undefined && lease < owner) {
        // What a former owner wrote after it had lost the customer was never acknowledged.
        fenced++;
        continue;
      }
      owner = lease ?? owner;
      if (decoded.seq !== number) {
        throw new WorkcellError('storage_failed', `${subject} has the sequence number ${decoded.seq}`);
      }
      const { start: first, end: next } = line;
      if (decoded.kind === 'event') yield { ...lineOf(decoded.event, first, next), event: decoded.event };
      else yield { type: '', seq: number, start: first, end: next, event: undefined };
    }
  }

  /** The event in the line that begins at a byte; undefined when there is none, or a later version wrote it. Throws as iterating does. */
  async eventAt(start: number): Promise<StoredEvent | undefined> {
    const { path, codec, end } = this.#source;
    const what = `session "${this.id}"`;
    const reader = codec.reader(start > 0 && (await this.#beginsSealed()));
    for await (const { value } of readJsonLines(path, what, { start, end })) {
      const decoded = reader.decode(value, `Cannot read ${what}: the line at byte ${start}`);
      return decoded.kind === 'event' ? decoded.event : undefined;
    }
    return undefined;
  }

  /** Whether what was written last is encrypted. */
  async isSealed(): Promise<boolean> {
    const { path, codec } = this.#source;
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    return codec.isSealed((await readTail(file, `session "${this.id}"`)).last);
  }

  /** Whether the log is encrypted from its first line on. */
  async #beginsSealed(): Promise<boolean> {
    const { path, codec } = this.#source;
    if (this.#isSealed !== undefined) return this.#isSealed;
    for await (const { value } of readJsonLines(path, `session "${this.id}"`)) {
      this.#isSealed = codec.isSealed(value);
      return this.#isSealed;
    }
    return false;
  }
}
