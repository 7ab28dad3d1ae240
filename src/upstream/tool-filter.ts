import type { ApprovalPolicy } from '../core/approval.ts';
import { matchesToolPattern } from '../core/tool-pattern.ts';

/** Which of a server's tools there are, by their original names; `*` stands for any characters, the rest is literal. */
export interface ToolFilter {
  /** Default: all. */
  readonly allowedTools?: readonly string[] | undefined;
  /** Wins over `allowedTools`. */
  readonly excludeTools?: readonly string[] | undefined;
  /** Filters nothing: of the tools that there are, which ones are called only when somebody has approved the call. Default: `never`. */
  readonly requireApproval?: ApprovalPolicy | undefined;
}

export function isToolAllowed(server: ToolFilter, tool: string): boolean {
  const { allowedTools, excludeTools = [] } = server;
  const matches = (pattern: string) => matchesToolPattern(pattern, tool);
  return (allowedTools === undefined || allowedTools.some(matches)) && !excludeTools.some(matches);
}

/** The patterns that no tool of the server matches: most often a name that is spelled wrong, or gone. */
export function unmatchedPatterns(server: ToolFilter, tools: readonly string[]): readonly string[] {
  const { allowedTools = [], excludeTools = [], requireApproval = [] } = server;
  const approvals = typeof requireApproval === 'string' ? [] : requireApproval;
  const patterns = new Set([...allowedTools, ...excludeTools, ...approvals]);
  return [...patterns].filter((pattern) => !tools.some((tool) => matchesToolPattern(pattern, tool)));
}
