import { type ToolDescriptor, toolName } from '../core/tool.ts';
import type { Embedder } from './embedder.ts';
import type { RankedTool, Retriever } from './retriever.ts';

/** A tool with the vector of its {@link semanticText}. */
export interface EmbeddedTool {
  readonly tool: ToolDescriptor;
  readonly vector: Float32Array;
}

/** Texts about nothing in common are about this similar, and more of it is no evidence. */
export const LEAST_SIMILARITY = 0.2;

/** What a model reads of a query at most, and some more. */
const MAX_QUERY = 3_000;

/** Finds tools whose meaning is near that of a query. Looks at every one: some milliseconds for ten thousand. */
export class SemanticIndex implements Retriever {
  readonly #tools: readonly ToolDescriptor[];
  /** The vectors of the tools, one behind the other. */
  readonly #vectors: Float32Array;
  readonly #embedder: Embedder;

  constructor(tools: readonly EmbeddedTool[], embedder: Embedder) {
    const sorted = tools.toSorted((a, b) => (toolName(a.tool) < toolName(b.tool) ? -1 : 1));
    this.#tools = sorted.map(({ tool }) => tool);
    this.#embedder = embedder;
    const length = sorted[0]?.vector.length ?? 0;
    this.#vectors = new Float32Array(sorted.length * length);
    for (const [index, { vector }] of sorted.entries()) this.#vectors.set(vector, index * length);
  }

  /** Scores are cosine similarities; tools below {@link LEAST_SIMILARITY} are left out. Rejects when the embedder fails. */
  async rank(query: string, limit: number): Promise<readonly RankedTool[]> {
    const similarities = this.#compare(await this.#embedder.embed(query.slice(0, MAX_QUERY)));
    // Sorting numbers alone is fast, and leaves few tools to sort.
    const least = Math.max(LEAST_SIMILARITY, similarities.toSorted().at(-limit) ?? 0);
    return this.#tools
      .flatMap((tool, index) => {
        const score = similarities[index] as number;
        return score >= least
          ? [{ tool, score: Math.min(1, score), reasons: [`meaning: ${score.toFixed(2)} similar`] }]
          : [];
      })
      .sort((a, b) => b.score - a.score)
      .slice(0, limit);
  }

  #compare(wanted: Float32Array): Float64Array {
    const vectors = this.#vectors;
    const { length } = wanted;
    return Float64Array.from(this.#tools, (_, index) => {
      let sum = 0;
      const start = index * length;
      for (let place = 0; place < length; place += 1)
        sum += (wanted[place] as number) * (vectors[start + place] as number);
      return sum;
    });
  }
}
