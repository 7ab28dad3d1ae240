import type { Readable } from 'node:stream';
import { WorkcellError } from '../core/errors.ts';

/**
 * The bytes of a body as they arrive. Throws with status 413 as soon as there are more than that, and `cancelled` when its client
 * goes away in the middle of it.
 */
export async function* limitBody(body: Readable, maxBytes: number): AsyncGenerator<Buffer> {
  let bytes = 0;
  try {
    // Whoever stops early still wants to answer, for which the connection has to stay.
    for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      yield chunk;
    }
  } catch (error) {
    if (error !== body.errored) throw error;
    throw new WorkcellError('cancelled', 'The connection broke off before the body was whole; send it again', {
      cause: error,
    });
  }
}

/**
 * Reads what nobody wants of a body, for a client hears of a failure only when it has sent everything; ends the connection when
 * that is more than it may send at all.
 */
export function drainBody(body: Readable, maxBytes: number): void {
  if (body.readableEnded || body.destroyed) return;
  let bytes = 0;
  body.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) body.destroy();
  });
  body.on('error', () => {});
  body.resume();
}

export function tooLarge(maxBytes: number): Error {
  return Object.assign(new Error(`The body is larger than the ${maxBytes} bytes that this route takes`), {
    statusCode: 413,
  });
}
