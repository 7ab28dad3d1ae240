import type { StaleTool } from '../core/skill.ts';
import { toolName } from '../core/tool.ts';
import { printable } from '../util/printable.ts';

/** Why a skill is stale, for people; empty for one that is not. */
export function staleText(stale: readonly StaleTool[]): string {
  if (stale.length === 0) return '';
  const tools = stale.map(
    (tool) => `${printable(toolName(tool))} ${tool.change === 'gone' ? 'is gone' : 'has changed'}`,
  );
  return `stale: ${tools.join(', ')}`;
}
