import type { ToolDescriptor } from '../core/tool.ts';
import { readSchema } from './read-schema.ts';
import type { Declaration } from './type-model.ts';

/** What a type says that no server has promised. */
const OBSERVED = 'Learned from results that were observed; the server promises nothing';

/** The types of what a tool gives: those that its server publishes, else those that were learned, marked as such. */
export function outputDeclarations(name: string, tool: ToolDescriptor, taken: Set<string>): readonly Declaration[] {
  const { outputSchema, observedOutput } = tool;
  if (outputSchema !== undefined || observedOutput === undefined) return readSchema(name, outputSchema ?? true, taken);
  const [root, ...others] = readSchema(name, observedOutput, taken);
  return root === undefined ? [] : [{ ...root, docs: { ...root.docs, description: OBSERVED } }, ...others];
}
