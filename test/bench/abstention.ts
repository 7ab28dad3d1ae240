import { toolName } from '../../src/core/tool.ts';
import { DEFAULT_THRESHOLD, ToolSelector } from '../../src/selector/tool-selector.ts';
import type { Choice } from './tool-retrieval-data.ts';

/** What one threshold gives. */
export interface AbstentionPoint {
  readonly threshold: number;
  readonly isDefault: boolean;
  /** The right function is selected, of requests that one of several serves. */
  readonly recall: number;
  /** The same when the right function is the only one: a catalog as small as that of the requests that nothing serves. */
  readonly aloneRecall: number;
  /** Something is selected for a request that nothing serves. */
  readonly falseSelection: number;
}

/** The points at which 99 to 80 % of the served requests get the right function, and the default threshold. */
export async function abstentionCurve(
  served: readonly Choice[],
  unserved: readonly Choice[],
): Promise<AbstentionPoint[]> {
  const alone = served.map(({ tools, query }) => ({
    tools: tools.filter((tool) => query.gold.has(toolName(tool))),
    query,
  }));
  const [right, rightAlone, wrong] = [
    await scores(served, true),
    await scores(alone, true),
    await scores(unserved, false),
  ];
  const thresholds = [0.99, 0.97, 0.95, 0.9, 0.85, 0.8].map(
    (share) => right.toSorted((a, b) => b - a)[Math.ceil(share * right.length) - 1] ?? 0,
  );
  return [...thresholds, DEFAULT_THRESHOLD]
    .sort((a, b) => a - b)
    .map((threshold) => ({
      threshold,
      isDefault: threshold === DEFAULT_THRESHOLD,
      recall: shareAbove(right, threshold),
      aloneRecall: shareAbove(rightAlone, threshold),
      falseSelection: shareAbove(wrong, threshold),
    }));
}

/** Up to which threshold each request has something selected, the right function where that is asked; 0 for never. */
async function scores(choices: readonly Choice[], rightOnly: boolean): Promise<number[]> {
  const list: number[] = [];
  for (const { tools, query } of choices) {
    const { tools: selected } = await new ToolSelector(tools).select(query.text, { threshold: 0 });
    const isFound = rightOnly ? selected.some((tool) => query.gold.has(toolName(tool))) : selected.length > 0;
    list.push(isFound ? (selected[0]?.score ?? 0) : 0);
  }
  return list;
}

function shareAbove(scores: readonly number[], threshold: number): number {
  return scores.filter((score) => score > 0 && score >= threshold).length / scores.length;
}
