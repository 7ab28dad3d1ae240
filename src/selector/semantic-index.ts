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
  readonly #tools: readonly EmbeddedTool[];
  readonly #embedder: Embedder;

  constructor(tools: readonly EmbeddedTool[], embedder: Embedder) {
    this.#tools = tools.toSorted((a, b) => (toolName(a.tool) < toolName(b.tool) ? -1 : 1));
    this.#embedder = embedder;
  }

  /** Scores are cosine similarities; tools below {@link LEAST_SIMILARITY} are left out. Rejects when the embedder fails. */
  async rank(query: string, limit: number): Promise<readonly RankedTool[]> {
    const wanted = await this.#embedder.embed(query.slice(0, MAX_QUERY));
    return this.#tools
      .map(({ tool, vector }) => ({ tool, score: Math.min(1, product(wanted, vector)) }))
      .filter(({ score }) => score >= LEAST_SIMILARITY)
      .sort((a, b) => b.score - a.score)
      .slice(0, limit)
      .map(({ tool, score }) => ({ tool, score, reasons: [`meaning: ${score.toFixed(2)} similar`] }));
  }
}

function product(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += (a[i] as number) * (b[i] as number);
  return sum;
}
