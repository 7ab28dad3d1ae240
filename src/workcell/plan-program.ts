import { planCall } from '../codegen/planner.ts';
import { WorkcellError } from '../core/errors.ts';
import type { Selection } from '../core/selection.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';

export interface PlannedProgram {
  readonly body: string;
  /** The tools to write imports for. */
  readonly called: readonly ToolDescriptor[];
  readonly planner: 'none' | 'literal';
}

/**
 * The caller's program; or, for a task alone, a call of the single best tool with what the task says literally.
 *
 * Throws `no_matching_tool` with near misses, and `missing_arguments` with what the task does not say.
 */
export function planProgram(
  { task, code }: { readonly task?: string | undefined; readonly code?: string | undefined },
  selection: Selection,
  tools: readonly ToolDescriptor[],
): PlannedProgram {
  if (code !== undefined) return { body: code, called: tools, planner: 'none' };
  const [best] = tools;
  if (best === undefined) throw noMatch(selection);
  const plan = planCall(task ?? '', best);
  if (plan.ok) return { body: plan.body, called: [best], planner: 'literal' };
  const { missing, message } = plan;
  throw new WorkcellError('missing_arguments', `${message}, or say the values in the task`, {
    details: { tool: toolName(best), missing },
  });
}

function noMatch({ noMatch: reason }: Selection): WorkcellError {
  const near = (reason?.nearMisses ?? []).map(toolName);
  const nearest = near.length === 0 ? '' : `; nearest: ${near.join(', ')}`;
  const text = `No tool fits the task: ${reason?.reason ?? 'none was named'}${nearest}. Name one with --tools, or see \`workcell tools list\``;
  return new WorkcellError('no_matching_tool', text, { details: { nearMisses: reason?.nearMisses ?? [] } });
}
