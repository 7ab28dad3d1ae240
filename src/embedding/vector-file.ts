import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../util/atomic-file.ts';

/** Vectors by the hash of their text. */
export type Vectors = ReadonlyMap<string, Float32Array>;

const MAGIC = 'WCV1';
const HEADER = 12;
const HASH = 32;

/** The name of a text in {@link Vectors}. */
export function textHash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** What the file holds; nothing when it is missing or damaged, since all of it can be computed again. */
export async function readVectors(path: string): Promise<Map<string, Float32Array>> {
  const content = await readFile(path).catch(() => Buffer.alloc(0));
  return decode(content) ?? new Map();
}

/** Replaces the file: the last `most` of the vectors, which must be equally long. */
export async function writeVectors(path: string, vectors: Vectors, most: number): Promise<void> {
  await writeFileAtomic(path, encode([...vectors].slice(-most)));
}

/** `WCV1`, length of a vector and number of vectors (u32, little endian), then hash and floats of each, then SHA-256 of it all. */
function encode(entries: readonly (readonly [string, Float32Array])[]): Buffer {
  const length = entries[0]?.[1].length ?? 0;
  const size = HASH + 4 * length;
  const body = Buffer.alloc(HEADER + entries.length * size);
  body.write(MAGIC, 'latin1');
  body.writeUInt32LE(length, 4);
  body.writeUInt32LE(entries.length, 8);
  for (const [index, [hash, vector]] of entries.entries()) {
    const start = HEADER + index * size;
    body.write(hash, start, 'hex');
    for (const [place, value] of vector.entries()) body.writeFloatLE(value, start + HASH + 4 * place);
  }
  return Buffer.concat([body, checksum(body)]);
}

function decode(content: Buffer): Map<string, Float32Array> | undefined {
  const body = content.subarray(0, -HASH);
  if (body.length < HEADER || !checksum(body).equals(content.subarray(-HASH))) return undefined;
  if (body.toString('latin1', 0, 4) !== MAGIC) return undefined;
  const [length, count] = [body.readUInt32LE(4), body.readUInt32LE(8)];
  const size = HASH + 4 * length;
  if (body.length !== HEADER + count * size) return undefined;
  const entries = Array.from({ length: count }, (_, index) => {
    const start = HEADER + index * size;
    const vector = Float32Array.from({ length }, (_, place) => body.readFloatLE(start + HASH + 4 * place));
    return [body.toString('hex', start, start + HASH), vector] as const;
  });
  return new Map(entries);
}

function checksum(body: Buffer): Buffer {
  return createHash('sha256').update(body).digest();
}
