import type { RankedTool } from './retriever.ts';

/** A ranking by meaning, where one can be had: its model may still load, be absent, or fail. */
export interface SemanticSource {
  /** Answers within a few seconds whatever happens, and never rejects. */
  rank(query: string, limit: number): Promise<SemanticAnswer>;
}

/** The best tools with their cosine similarity as score, or a sentence on why there are none. */
export type SemanticAnswer = { readonly ranked: readonly RankedTool[] } | { readonly unavailable: string };
