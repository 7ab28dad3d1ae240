import type { DecodedEvent, StoredEvent } from './events.ts';

/** How the events of one session become lines of its log, and lines events. */
export interface LineCodec {
  /** The line, newline included. Throws `invalid_argument` for an event that makes no line. */
  encode(event: StoredEvent): Buffer;
  /** Reads lines of one part of the log in their order. `isSealed`: whether lines before it are encrypted. */
  reader(isSealed?: boolean): LineReader;
  /** Whether the lines that it makes are encrypted. */
  readonly seals: boolean;
  /** Whether a line is encrypted. */
  isSealed(value: unknown): boolean;
}

export interface LineReader {
  /**
   * Throws `storage_failed`, beginning with `subject`, when the value is not an event of this session, and `invalid_config` when the
   * key to it is missing.
   */
  decode(value: unknown, subject: string): DecodedEvent;
}
