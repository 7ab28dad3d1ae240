import { estimateTokens } from '../core/token-estimate.ts';
import type { ToolDescriptor } from '../core/tool.ts';

/** About how many tokens a model reads for the definition of a tool, as MCP lists it: name, description, schema of the input. */
export function definitionTokens({ tool: name, description, inputSchema }: ToolDescriptor): number {
  return estimateTokens(JSON.stringify({ name, description, inputSchema }));
}
