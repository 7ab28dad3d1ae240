import { describe, expect, it } from 'vitest';
import { takePage } from '../../../src/http/schemas/page.ts';

const same = (text: string) => text;

describe('a page', () => {
  it('goes on after the last entry of the one before, also when that is gone', () => {
    const first = takePage(['a', 'b', 'c'], { limit: 2 }, same);
    expect(first).toEqual({ items: ['a', 'b'], nextCursor: expect.any(String) });
    const cursor = first.nextCursor ?? undefined;
    expect(takePage(['a', 'c'], { limit: 2, cursor }, same)).toEqual({ items: ['c'], nextCursor: null });
  });

  it.each([1, 2, 3, 4])('of %d entries, and those after it, are all there are', (limit) => {
    const all = ['a', 'b', 'c'];
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = takePage(all, { limit, cursor }, same);
      expect(page.items.length).toBeLessThanOrEqual(limit);
      seen.push(...page.items);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual(all);
  });

  it.each(['', 'x', Buffer.from('{}').toString('base64url'), Buffer.from('[1]').toString('base64url')])(
    'is refused for the cursor %j of somebody else',
    (cursor) => {
      expect(() => takePage(['a'], { limit: 1, cursor }, same)).toThrow('cursor');
    },
  );
});
