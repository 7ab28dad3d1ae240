import { Readable } from 'node:stream';

/** A client that has taken nothing for as long is gone. */
const STALLED_MS = 60_000;

/** The same bytes; ends with a failure, which closes the connection, when nobody takes the next for too long. */
export function endWhenStalled(source: AsyncIterable<Uint8Array>, stalledMs: number = STALLED_MS): Readable {
  let timer: NodeJS.Timeout | undefined;
  const watched = Readable.from(watch(), { objectMode: false });
  // Of what nobody has begun to read, the loop below lets nothing go.
  if (source instanceof Readable) watched.once('close', () => source.destroy());
  return watched;

  async function* watch(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of source) {
        timer = setTimeout(() => watched.destroy(new Error('The client took nothing for too long')), stalledMs);
        yield chunk;
        clearTimeout(timer);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
