import { randomBytes } from 'node:crypto';
import { StringDecoder } from 'node:string_decoder';
import { WorkcellError } from '../core/errors.ts';
import type { LogSource } from '../protocol/rest.ts';
import type { LogPosition } from './log-cursor.ts';

export interface LogEntry {
  readonly source: LogSource;
  readonly at: Date;
  readonly text: string;
  /** Where to go on after this entry. */
  readonly position: LogPosition;
}

/** Characters kept of one sandbox; what is older is dropped. */
const MAX_CHARACTERS = 4 * 1024 * 1024;
/** What an entry costs beyond its text: a program may write many that hold one character. */
const ENTRY_COST = 128;

/**
 * What the commands of one sandbox have written, and when it started and stopped; the newest few MiB of it, in memory.
 *
 * Entries are numbered without gaps, so that a reader can go on where it was.
 */
export class SandboxLog {
  readonly #generation = randomBytes(8).readBigUInt64LE();
  readonly #entries = new Map<number, LogEntry>();
  readonly #decoders = new Map<string, StringDecoder>();
  #first = 0;
  #next = 0;
  #size = 0;
  #changed = Promise.withResolvers<void>();

  /** Bytes of a command; a character that is split over two chunks stays whole. */
  write(source: LogSource, session: number, bytes: Uint8Array): void {
    const key = `${session} ${source}`;
    const decoder = this.#decoders.get(key) ?? new StringDecoder('utf8');
    this.#decoders.set(key, decoder);
    this.append(source, decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)));
  }

  /** The command is over: what is left of a split character comes out as U+FFFD. */
  endSession(session: number): void {
    for (const source of ['stdout', 'stderr', 'output'] as const) {
      const decoder = this.#decoders.get(`${session} ${source}`);
      this.#decoders.delete(`${session} ${source}`);
      if (decoder !== undefined) this.append(source, decoder.end());
    }
  }

  append(source: LogSource, text: string): void {
    if (text === '') return;
    const position = { generation: this.#generation, next: this.#next + 1 };
    this.#entries.set(this.#next, { source, at: new Date(), text, position });
    this.#next += 1;
    this.#size += text.length + ENTRY_COST;
    while (this.#size > MAX_CHARACTERS && this.#next - this.#first > 1) this.#drop();
    this.wake();
  }

  /** Lets readers look again whether there will be more. */
  wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /**
   * Entries after `from`, or all that are kept; then those to come, while `isLive()`. Throws `not_found` when `from` is of
   * another log or older than what is kept: going on there would leave a gap.
   */
  async *follow(
    from: LogPosition | undefined,
    isLive: () => boolean,
    signal: AbortSignal,
  ): AsyncGenerator<LogEntry, void, void> {
    if (!this.reaches(from)) throw gone();
    let next = from?.next ?? this.#first;
    signal.addEventListener('abort', () => this.wake(), { once: true });
    while (!signal.aborted) {
      const changed = this.#changed.promise;
      if (next < this.#first) throw gone();
      for (let entry = this.#entries.get(next); entry !== undefined; entry = this.#entries.get(next)) {
        next += 1;
        yield entry;
        if (signal.aborted) return;
      }
      if (next < this.#first) continue;
      if (!isLive()) return;
      await changed;
    }
  }

  /** Whether a reader can go on from there without a gap. */
  reaches(from: LogPosition | undefined): boolean {
    if (from === undefined) return true;
    return from.generation === this.#generation && from.next >= this.#first && from.next <= this.#next;
  }

  #drop(): void {
    const entry = this.#entries.get(this.#first);
    this.#entries.delete(this.#first);
    this.#first += 1;
    this.#size -= (entry?.text.length ?? 0) + ENTRY_COST;
  }
}

function gone(): WorkcellError {
  return new WorkcellError('not_found', 'The log does not reach back to this position; read it from the start');
}
