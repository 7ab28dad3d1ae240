import type { ToolDescriptor } from '../core/tool.ts';

/** A tool with how well it fits a query: 0 to 1, and why. */
export interface RankedTool {
  readonly tool: ToolDescriptor;
  readonly score: number;
  readonly reasons: readonly string[];
}

/** Finds tools by one kind of evidence. What it was built over does not change, so the same query gets the same answer. */
export interface Retriever {
  /** The best `limit` tools, best first; equal scores by name. Tools without any evidence are left out. */
  rank(query: string, limit: number): Promise<readonly RankedTool[]>;
}
