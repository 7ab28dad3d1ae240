import type { SelectedTool } from '../core/selection.ts';
import { toolName } from '../core/tool.ts';
import type { Finding } from './tool-selector.ts';

/**
 * The findings of several queries as one, by turns: the first tool of each, then the second of each; a tool that more than
 * one found stands where it comes first. It is `hybrid` only when each of them is.
 */
export function mergeFindings(findings: readonly Finding[], limit: number): Finding {
  const { mode, withoutEmbeddings } = findings.find((finding) => finding.mode === 'lexical') ?? findings[0] ?? NOTHING;
  const tools = new Map<string, SelectedTool>();
  const longest = Math.max(0, ...findings.map((finding) => finding.tools.length));
  for (let place = 0; place < longest; place += 1) {
    for (const tool of findings.flatMap((finding) => finding.tools[place] ?? [])) {
      const name = toolName(tool);
      if (!tools.has(name)) tools.set(name, tool);
    }
  }
  return {
    mode,
    ...(withoutEmbeddings === undefined ? {} : { withoutEmbeddings }),
    tools: [...tools.values()].slice(0, limit),
  };
}

const NOTHING: Finding = { mode: 'lexical', tools: [] };
