import type { Readable } from 'node:stream';

/** The bytes of a body as they arrive. Throws with status 413 as soon as there are more than that. */
export async function* limitBody(body: Readable, maxBytes: number): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    yield chunk;
  }
}

export function tooLarge(maxBytes: number): Error {
  return Object.assign(new Error(`The body is larger than the ${maxBytes} bytes that this route takes`), {
    statusCode: 413,
  });
}
