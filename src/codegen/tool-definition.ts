import { WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { renderWrapper } from './wrapper.ts';

/**
 * What a program in this language needs to know of a tool: its types, and the function that calls it. Throws `unsupported`
 * for a language that the tool cannot be called from.
 */
export function toolDefinition(tool: ToolDescriptor, language: Language): string {
  if (language !== 'typescript')
    throw new WorkcellError('unsupported', `${toolName(tool)} can be called from TypeScript only`);
  const source = renderWrapper(tool);
  const types = source.slice(source.indexOf('export type'));
  return `${types.slice(0, types.lastIndexOf(' {\n  return callTool('))};\n`;
}
