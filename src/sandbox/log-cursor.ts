/** One place in a sandbox's log: `generation` tells one log from another, `next` is the number of the entry to go on with. */
export interface LogPosition {
  readonly generation: bigint;
  readonly next: number;
}

const BYTES = 1 + 8 + 8;

/**
 * The id of an event in the log stream. Stock clients read it: base64 of a count, and of two little-endian 64-bit numbers
 * for each file; a log of ours is one file.
 *
 * Source: superradcompany/microsandbox `sdk/rust/lib/logs/cursor.rs`.
 */
export function encodeLogCursor({ generation, next }: LogPosition): string {
  const bytes = Buffer.alloc(BYTES);
  bytes[0] = 1;
  bytes.writeBigUInt64LE(generation, 1);
  bytes.writeBigUInt64LE(BigInt(next), 9);
  return bytes.toString('base64');
}

/** Undefined when there is nothing to go on with: an empty cursor is the start. Throws a RangeError for what is no cursor. */
export function decodeLogCursor(text: string): LogPosition | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new RangeError('not base64');
  if (bytes.byteLength === 1 && bytes[0] === 0) return undefined;
  if (bytes.byteLength !== BYTES || bytes[0] !== 1) throw new RangeError('not the cursor of one file');
  const next = bytes.readBigUInt64LE(9);
  if (next > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError('beyond every log');
  return { generation: bytes.readBigUInt64LE(1), next: Number(next) };
}
