import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { messageOf, WorkcellError } from '../core/errors.ts';
import { errnoOf } from './errno.ts';

/** Bytes of one line, the newline included. Neither written nor read beyond that. */
export const MAX_LINE_BYTES = 12 * 1024 * 1024;
const NEWLINE = 0x0a;
const CHUNK_BYTES = 64 * 1024;

/** One line of a JSON Lines file. */
export interface JsonLine {
  /** 1-based. */
  readonly number: number;
  readonly value: unknown;
  /** The byte at which it begins, and the one after its newline. */
  readonly start: number;
  readonly end: number;
}

/** A part of a file, in bytes; `start` is where a line begins. */
export interface LineRange {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

/** The line for `value`, newline included. Throws `invalid_argument` when it is not JSON or beyond {@link MAX_LINE_BYTES}. */
export function encodeJsonLine(value: object): Buffer {
  const line = Buffer.from(`${stringify(value)}\n`);
  if (line.length <= MAX_LINE_BYTES) return line;
  throw new WorkcellError(
    'invalid_argument',
    `A line of ${line.length} bytes is more than the ${MAX_LINE_BYTES} allowed`,
  );
}

/**
 * Reads the lines of a file up to the last newline; what comes after it has not been written to its end yet. Throws
 * `storage_failed`, naming the line, for one that is not JSON in UTF-8 or is beyond {@link MAX_LINE_BYTES}, and for a file
 * that cannot be opened or is a symbolic link.
 *
 * `what` names the file in errors. Numbers count from where the range starts.
 */
export async function* readJsonLines(path: string, what: string, range: LineRange = {}): AsyncGenerator<JsonLine> {
  await using file = await openFile(path, what);
  const { start = 0, end = Infinity } = range;
  if (end > start) yield* parseJsonLines(file.createReadStream({ start, end: end - 1, autoClose: false }), what, start);
}

/** As {@link readJsonLines}, from a stream whose first byte is the one at `start`. */
export async function* parseJsonLines(
  stream: AsyncIterable<Uint8Array>,
  what: string,
  start = 0,
): AsyncGenerator<JsonLine> {
  let number = 0;
  let next = start;
  for await (const bytes of splitLines(stream)) {
    number++;
    const end = next + bytes.length + 1;
    yield { number, value: parse(bytes, `Cannot read ${what}: line ${number}`), start: next, end };
    next = end;
  }
}

/** Where the last whole line ends (0 when there is none), and what it holds. */
export interface Tail {
  readonly end: number;
  readonly last: unknown;
}

/** Finds the end of what was written as whole lines, reading no more than the last lines. Throws like {@link readJsonLines}. */
export async function readTail(file: FileHandle, what: string): Promise<Tail> {
  const { size } = await file.stat();
  const end = (await lastNewline(file, size)) + 1;
  if (end === 0) return { end, last: undefined };
  const start = (await lastNewline(file, end - 1)) + 1;
  const subject = `Cannot read ${what}: the last line`;
  if (end - start > MAX_LINE_BYTES) throw tooLong(subject);
  return { end, last: parse(await readFully(file, start, end - 1 - start), subject) };
}

async function openFile(path: string, what: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    throw new WorkcellError('storage_failed', `Cannot read ${what}: it failed with ${errnoOf(error)}`, {
      cause: error,
    });
  }
}

async function* splitLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let pieces: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    let start = 0;
    for (let stop = chunk.indexOf(NEWLINE); stop >= 0; stop = chunk.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...pieces, chunk.subarray(start, stop)]);
      pieces = [];
      size = 0;
      start = stop + 1;
    }
    const rest = chunk.subarray(start);
    pieces.push(rest);
    size += rest.length;
    if (size >= MAX_LINE_BYTES) return yield Buffer.concat(pieces);
  }
}

/** The position of the last newline below `before`; -1 when there is none. */
async function lastNewline(file: FileHandle, before: number): Promise<number> {
  for (let end = before; end > 0; end -= CHUNK_BYTES) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const found = (await readFully(file, start, end - start)).lastIndexOf(NEWLINE);
    if (found >= 0) return start + found;
  }
  return -1;
}

async function readFully(file: FileHandle, start: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await file.read(bytes, 0, length, start);
  if (bytesRead === length) return bytes;
  throw new WorkcellError('storage_failed', 'A file became shorter while it was read');
}

function parse(bytes: Buffer, subject: string): unknown {
  if (bytes.length >= MAX_LINE_BYTES) throw tooLong(subject);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw new WorkcellError('storage_failed', `${subject} is not JSON`, { cause: error });
  }
}

function tooLong(subject: string): WorkcellError {
  return new WorkcellError('storage_failed', `${subject} is longer than ${MAX_LINE_BYTES} bytes`);
}

function stringify(value: object): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    throw new WorkcellError('invalid_argument', `Cannot write a line: ${messageOf(error)}`, { cause: error });
  }
}
