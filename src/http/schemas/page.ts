import { z } from 'zod';
import { WorkcellError } from '../../core/errors.ts';

const MAX_LIMIT = 200;

export const pageFields: {
  readonly limit: z.ZodDefault<z.ZodCoercedNumber>;
  readonly cursor: z.ZodOptional<z.ZodString>;
} = {
  limit: z.coerce.number().int().min(1).max(MAX_LIMIT).default(50).describe('How many at most'),
  cursor: z.string().optional().describe('`nextCursor` of the page before'),
};

/** The query of a listing that has no other fields. */
export const pageQuery: z.ZodObject<typeof pageFields, z.core.$strict> = z.strictObject(pageFields);

export interface Page<Item> {
  readonly items: readonly Item[];
  /** Null on the last page. */
  readonly nextCursor: string | null;
}

export function pageOf<Item>(item: z.ZodType<Item>): z.ZodType<Page<Item>> {
  return z.object({ items: z.array(item).readonly(), nextCursor: z.string().nullable() });
}

/**
 * The part of a listing that a client asks for. A cursor names the last entry of the page before, so it holds when that is gone:
 * `all` must be sorted by `keyOf`, ascending or, with `newestFirst`, descending. Throws `invalid_argument` for a cursor of somebody else.
 */
export function takePage<Item>(
  all: readonly Item[],
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
  keyOf: (item: Item) => string,
  order: 'ascending' | 'descending' = 'ascending',
): Page<Item> {
  const after = cursor === undefined ? undefined : decodeCursor(cursor);
  const isLater = (key: string, than: string) => (order === 'ascending' ? key > than : key < than);
  const rest = after === undefined ? all : all.filter((item) => isLater(keyOf(item), after));
  const items = rest.slice(0, limit);
  const last = items.at(-1);
  return { items, nextCursor: last !== undefined && rest.length > items.length ? encodeCursor(keyOf(last)) : null };
}

/** What a client gets, and only gives back, in the place of the key of a page's last entry. */
export function encodeCursor(key: string): string {
  return Buffer.from(JSON.stringify([key])).toString('base64url');
}

/** Throws `invalid_argument` for a cursor of somebody else. */
export function decodeCursor(cursor: string): string {
  try {
    const [key] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as readonly unknown[];
    if (typeof key === 'string') return key;
  } catch {
    // The same answer for everything that is no cursor.
  }
  throw new WorkcellError('invalid_argument', 'The cursor is none of this server; list from the start');
}
