import { createHash } from 'node:crypto';
import { type ToolDescriptor, toolName } from '../core/tool.ts';

/** Of a tool's name (MCP 2025-11-25, "Tools", "Tool Names"). */
const MAX_LENGTH = 128;
const HASH_LENGTH = 8;

/**
 * The tools by the names under which they are offered directly, `server__tool`, sorted. A name that had to be changed, or that two
 * tools would have, ends in a hash of the tool: so it means the same tool whatever others there are.
 */
export function directNames(tools: readonly ToolDescriptor[]): ReadonlyMap<string, ToolDescriptor> {
  const wanted = Map.groupBy(tools, plainName);
  const named = [...wanted].flatMap(([name, group]) =>
    group.map((tool) => {
      const isOwn = group.length === 1 && name === `${tool.server}__${tool.tool}`;
      return [isOwn ? name : withHash(name, tool), tool] as const;
    }),
  );
  return new Map(named.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function plainName({ server, tool }: ToolDescriptor): string {
  return `${server}__${tool}`.replace(/[^A-Za-z0-9_.-]/g, '_').slice(0, MAX_LENGTH);
}

function withHash(name: string, tool: ToolDescriptor): string {
  const hash = createHash('sha256').update(toolName(tool)).digest('hex').slice(0, HASH_LENGTH);
  return `${name.slice(0, MAX_LENGTH - HASH_LENGTH - 1)}_${hash}`;
}
