import type { FileHandle } from 'node:fs/promises';
import { type IndexedSource, vouchedEnd } from './session-index.ts';

/** More than is ever written at once: a log with more behind its index was damaged otherwise. */
const MAX_BYTES = 16 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/**
 * Cuts a log off at the first page of it that the disk has lost. Of what was not synced when the power went any page may be missing,
 * and is zeros then, while later ones are there; no line holds a zero. What the index knows was synced, and is left as it is.
 * Gives how many bytes were cut off; 0 when nothing is missing.
 */
export async function dropHole(file: FileHandle, source: IndexedSource): Promise<number> {
  const [start, { size }] = [await vouchedEnd(source), await file.stat()];
  const end = size - start > MAX_BYTES ? undefined : await lineWithZeros(file, start);
  if (end === undefined) return 0;
  await file.truncate(end);
  await file.datasync();
  return size - end;
}

/** Where the first line begins that has zeros in it. */
async function lineWithZeros(file: FileHandle, start: number): Promise<number | undefined> {
  const bytes = Buffer.alloc(CHUNK_BYTES);
  let line = start;
  for (let at = start; ; ) {
    const { bytesRead } = await file.read(bytes, 0, bytes.length, at);
    if (bytesRead === 0) return undefined;
    const read = bytes.subarray(0, bytesRead);
    const zero = read.indexOf(0);
    const newline = (zero < 0 ? read : read.subarray(0, zero)).lastIndexOf(NEWLINE);
    if (newline >= 0) line = at + newline + 1;
    if (zero >= 0) return line;
    at += bytesRead;
  }
}
