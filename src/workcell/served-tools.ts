import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { ExecutionResult } from '../core/execution.ts';
import { schemaHash } from '../core/schema-hash.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import type { ServedTask } from '../selector/usage-memory.ts';

/**
 * The tools that have done something for a run: those whose calls were answered. Plain modules run inside the guest, where
 * nobody counts their calls; one counts when the program imports it itself, or is a single call of it.
 */
export function servedTools(result: ExecutionResult, catalog: ToolCatalog): ServedTask['tools'] {
  const { calls, selection, planner } = result;
  if (result.status !== 'completed') return [];
  const imported = selection.mode === 'imports' ? selection.tools : [];
  const planned = planner === 'literal' ? selection.tools.slice(0, 1) : [];
  const modules = toolsOf([...imported, ...planned], catalog).filter(({ kind }) => kind === 'module');
  const called = toolsOf(
    calls.filter(({ ok }) => ok),
    catalog,
  );
  return [...new Set([...called, ...modules])].map((tool) => ({
    server: tool.server,
    tool: tool.tool,
    schemaHash: schemaHash(tool),
  }));
}

function toolsOf(
  named: readonly { readonly server: string; readonly tool: string }[],
  catalog: ToolCatalog,
): readonly ToolDescriptor[] {
  return named.flatMap((each) => catalog.find(toolName(each)) ?? []);
}
