import { toolName } from '../core/tool.ts';
import type { RankedTool } from './retriever.ts';
import { LEAST_SIMILARITY } from './semantic-index.ts';

/** How little the first places of a list count more than those behind them (reciprocal rank fusion, Cormack 2009). */
const K = 60;

/**
 * The similarity from which meaning alone is enough to select a tool. Sentences that say the same in other words reach
 * 0.5 and more with all-MiniLM-L6-v2, those on the same field 0.2 to 0.4.
 */
const CERTAIN_SIMILARITY = 0.5;

/**
 * One ranking of two, by reciprocal rank fusion: what both find comes before what one of them finds; equal ones by name.
 *
 * The score stays what a threshold can judge: the stronger evidence of the two. A similarity is put on the lexical scale,
 * where {@link CERTAIN_SIMILARITY} is `threshold`; so scores need not fall from place to place.
 */
export function fuseRankings(
  lexical: readonly RankedTool[],
  semantic: readonly RankedTool[],
  threshold: number,
): RankedTool[] {
  const fused = new Map<string, { tool: RankedTool; rank: number }>();
  const add = (ranked: RankedTool, place: number) => {
    const name = toolName(ranked.tool);
    const known = fused.get(name);
    fused.set(name, {
      tool: known === undefined ? ranked : stronger(known.tool, ranked),
      rank: (known?.rank ?? 0) + 1 / (K + place),
    });
  };
  for (const [index, ranked] of lexical.entries()) add(ranked, index + 1);
  for (const [index, ranked] of semantic.entries()) {
    add({ ...ranked, score: evidenceOf(ranked.score, threshold) }, index + 1);
  }
  return [...fused]
    .sort(([nameA, a], [nameB, b]) => b.rank - a.rank || (nameA < nameB ? -1 : 1))
    .map(([, { tool }]) => tool);
}

function stronger(a: RankedTool, b: RankedTool): RankedTool {
  return { tool: a.tool, score: Math.max(a.score, b.score), reasons: [...a.reasons, ...b.reasons] };
}

/** 0 at {@link LEAST_SIMILARITY}, `threshold` at {@link CERTAIN_SIMILARITY}, 1 at 1, and straight between them. */
function evidenceOf(similarity: number, threshold: number): number {
  const share = (from: number, to: number) => (similarity - from) / (to - from);
  if (similarity < CERTAIN_SIMILARITY) return threshold * Math.max(0, share(LEAST_SIMILARITY, CERTAIN_SIMILARITY));
  return threshold + (1 - threshold) * share(CERTAIN_SIMILARITY, 1);
}
