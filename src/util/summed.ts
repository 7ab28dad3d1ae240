import { createHash } from 'node:crypto';

/** How many bytes there were, and their SHA-256 in hex. */
export interface Sum {
  readonly bytes: number;
  readonly sha256: string;
}

/** Sums up what goes through it. */
export class Summed {
  readonly #hash = createHash('sha256');
  #bytes = 0;

  async *through(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of stream) {
      this.#hash.update(chunk);
      this.#bytes += chunk.length;
      yield chunk;
    }
  }

  /** Of what went through until now; to be asked once. */
  sum(): Sum {
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }
}
