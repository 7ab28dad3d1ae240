import type { Embedder } from '../selector/embedder.ts';
import { readVectors, textHash, writeVectors } from './vector-file.ts';

export interface EmbedOptions {
  readonly signal: AbortSignal;
  /** Told after each text that had to be embedded. */
  readonly onEmbedded: (done: number, all: number) => void;
}

/** 384 floats each make 31 MB; those used last are kept. */
const MOST_VECTORS = 20_000;
/** A run that is cut short loses at most the work on so many texts. */
const SAVE_EVERY = 500;

/** The vectors of texts: kept in a file, and computed when they are not there. */
export class VectorStore {
  readonly #embedder: Embedder;
  readonly #path: string;
  #known: Promise<Map<string, Float32Array>> | undefined;

  /** `path` belongs to this embedder alone. A file that is missing or damaged is made anew. */
  constructor(embedder: Embedder, path: string) {
    this.#embedder = embedder;
    this.#path = path;
  }

  /** A vector for each text, in their order. What is done is kept when the signal ends it, or the embedder fails. */
  async embedAll(texts: readonly string[], { signal, onEmbedded }: EmbedOptions): Promise<readonly Float32Array[]> {
    this.#known ??= readVectors(this.#path);
    const known = await this.#known;
    const hashes = texts.map(textHash);
    const missing = new Map(texts.flatMap((text, i) => (known.has(hashes[i] ?? '') ? [] : [[hashes[i] ?? '', text]])));
    let done = 0;
    try {
      for (const [hash, text] of missing) {
        signal.throwIfAborted();
        known.set(hash, await this.#embedder.embed(text));
        done += 1;
        onEmbedded(done, missing.size);
        if (done % SAVE_EVERY === 0) await this.#save(known);
      }
    } finally {
      for (const hash of hashes) touch(known, hash);
      if (done % SAVE_EVERY !== 0) await this.#save(known);
    }
    return hashes.map((hash) => known.get(hash) as Float32Array);
  }

  /** A file that cannot be written costs no more than embedding again. */
  async #save(known: ReadonlyMap<string, Float32Array>): Promise<void> {
    await writeVectors(this.#path, known, MOST_VECTORS).catch(() => {});
  }
}

/** Moves an entry to the end, where it is kept longest. */
function touch(known: Map<string, Float32Array>, hash: string): void {
  const vector = known.get(hash);
  if (vector === undefined) return;
  known.delete(hash);
  known.set(hash, vector);
}
