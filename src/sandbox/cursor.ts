import { WorkcellError } from '../core/errors.ts';

/** Where a listing goes on: a position, so that it holds when the entry itself is gone. Opaque to clients. */
export function encodeCursor(position: number): string {
  return Buffer.from(JSON.stringify({ v: 1, after: position })).toString('base64url');
}

/** Throws `invalid_argument` for what {@link encodeCursor} has not made. */
export function decodeCursor(cursor: string): number {
  try {
    const { v, after } = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as { v?: unknown; after?: unknown };
    if (v === 1 && Number.isSafeInteger(after)) return after as number;
  } catch {
    // The same answer for everything that is no cursor.
  }
  throw new WorkcellError('invalid_argument', 'The query field "cursor" is none of this server; list from the start');
}
