import { toolName } from '../core/tool.ts';
import type { RankedTool } from './retriever.ts';

/** What the tasks that a tool has served count against the words that describe it. */
const HISTORY_WEIGHT = 1.1;

/** One ranking of what the tools say and what they were used for, by the sum of both; equal ones by name. */
export function withHistory(described: readonly RankedTool[], used: readonly RankedTool[]): RankedTool[] {
  const merged = new Map(described.map((ranked) => [toolName(ranked.tool), ranked]));
  for (const { tool, score, reasons } of used) {
    const known = merged.get(toolName(tool)) ?? { tool, score: 0, reasons: [] };
    const total = known.score + HISTORY_WEIGHT * score;
    merged.set(toolName(tool), { tool, score: total, reasons: [...known.reasons, ...reasons] });
  }
  return [...merged]
    .sort(([nameA, a], [nameB, b]) => b.score - a.score || (nameA < nameB ? -1 : 1))
    .map(([, ranked]) => ({ ...ranked, score: Math.min(1, ranked.score) }));
}
