import { encodeJsonLine } from '../util/json-lines.ts';
import { type DecodedEvent, decodeEvent, type StoredEvent } from './events.ts';

/** How the events of one session become lines of its log, and lines events. */
export interface LineCodec {
  /** The line, newline included. Throws `invalid_argument` for an event that makes no line. */
  encode(event: StoredEvent): Buffer;
  /** Reads lines of one part of the log in their order. */
  reader(): LineReader;
}

export interface LineReader {
  /** Throws `storage_failed`, beginning with `subject`, when the value is not an event of this session. */
  decode(value: unknown, subject: string): DecodedEvent;
}

/** Events as they are. */
export const PLAIN_LINES: LineCodec = { encode: encodeJsonLine, reader: () => ({ decode: decodeEvent }) };
