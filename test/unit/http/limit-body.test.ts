import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { limitBody } from '../../../src/http/limit-body.ts';

async function sizeOf(body: Readable, maxBytes: number): Promise<number> {
  let bytes = 0;
  for await (const chunk of limitBody(body, maxBytes)) bytes += chunk.length;
  return bytes;
}

describe('a body', () => {
  it.each([
    [9, 9],
    [10, 10],
    [11, 413],
  ])('of %i bytes where 10 are taken: %i', async (size, expected) => {
    const read = sizeOf(Readable.from([Buffer.alloc(5), Buffer.alloc(size - 5)]), 10);
    if (expected === 413) await expect(read).rejects.toMatchObject({ statusCode: 413 });
    else expect(await read).toBe(expected);
  });

  it('that breaks off is no failure of the server', async () => {
    const body = new Readable({ read: () => {} });
    body.push('half');
    const chunks = limitBody(body, 10);
    await chunks.next();
    body.destroy(new Error('aborted'));
    await expect(chunks.next()).rejects.toMatchObject({ code: 'cancelled' });
  });
});
