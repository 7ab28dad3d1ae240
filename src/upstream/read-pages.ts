import { WorkcellError } from '../core/errors.ts';

const MAX_PAGES = 100;

/** One page of a list, as it comes over the wire. */
export interface Page {
  readonly entries: readonly unknown[];
  readonly nextCursor?: string | null | undefined;
}

/**
 * The entries of all pages; `what` finishes "its list of …".
 *
 * Throws `protocol_error` when a cursor comes twice and after 100 pages, so that no server can keep it going.
 */
export async function readPages(
  what: string,
  readPage: (cursor: string | undefined) => Promise<Page>,
): Promise<readonly unknown[]> {
  const all: unknown[] = [];
  const cursors = new Set<string>();
  for (let cursor: string | undefined, page = 1; ; page++) {
    if (page > MAX_PAGES) {
      throw new WorkcellError('protocol_error', `its list of ${what} has more than ${MAX_PAGES} pages`);
    }
    const { entries, nextCursor } = await readPage(cursor);
    for (const entry of entries) all.push(entry);
    if (!nextCursor) return all;
    if (cursors.has(nextCursor)) throw new WorkcellError('protocol_error', `its list of ${what} repeats a cursor`);
    cursors.add(nextCursor);
    cursor = nextCursor;
  }
}
