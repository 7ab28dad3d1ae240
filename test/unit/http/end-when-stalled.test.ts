import { once } from 'node:events';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { endWhenStalled } from '../../../src/http/end-when-stalled.ts';

describe('a body', () => {
  it('lets go of what it is made of, also when nobody has begun to read it', async () => {
    const source = new Readable({ read: () => {} });
    endWhenStalled(source).destroy();
    await once(source, 'close');
    expect(source.destroyed).toBe(true);
  });

  it('ends with a failure when nobody takes the next for too long', async () => {
    const source = Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(64 * 1024)));
    const body = endWhenStalled(source, 20);
    body.once('readable', () => body.read(1));
    const [error] = await once(body, 'error');
    expect(String(error)).toContain('took nothing');
    expect(source.destroyed).toBe(true);
  });
});
