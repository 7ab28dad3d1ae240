import { WorkcellError } from '../core/errors.ts';

/** Some of a file's bytes. */
export interface FilePart {
  readonly offset: number;
  readonly length: number;
}

/** A character has at most four bytes in UTF-8. */
export const CHARACTER_BYTES = 4;

/** What `?offset=…&length=…` asks for, in bytes, each with a default; undefined when it asks for no part. Throws `invalid_argument`. */
export function filePartOf(query: string, maxLength: number): FilePart | undefined {
  const asked = new URLSearchParams(query);
  const [offset, length] = [asked.get('offset'), asked.get('length')];
  if (offset === null && length === null) return undefined;
  return {
    offset: whole('offset', offset ?? '0', 0),
    length: Math.min(whole('length', length ?? `${maxLength}`, 1), maxLength),
  };
}

/**
 * The text of one part of a file, so that all parts together are its whole text: a character is in the part that has its first byte.
 * `bytes` are the part's, and up to three that follow it. Undefined when it is no UTF-8.
 */
export function textOfPart(bytes: Uint8Array, { offset, length }: FilePart): string | undefined {
  let start = 0;
  while (offset > 0 && start < CHARACTER_BYTES - 1 && isContinuation(bytes[start])) start += 1;
  let end = Math.min(length, bytes.length);
  while (isContinuation(bytes[end])) end += 1;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(start, end));
  } catch {
    return undefined;
  }
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

function whole(name: string, text: string, least: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number) && number >= least) return number;
  throw new WorkcellError(
    'invalid_argument',
    `${name} must be a whole number of bytes from ${least} on, and is ${JSON.stringify(text)}`,
  );
}
