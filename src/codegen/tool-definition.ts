import { WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { renderPythonDefinition } from './python-wrapper.ts';
import { renderDefinition } from './wrapper.ts';

/**
 * What a program in this language needs to know of a tool: its types, and the function that calls it. Throws `unsupported`
 * for a tool that is written in another language.
 */
export function toolDefinition(tool: ToolDescriptor, language: Language): string {
  if (language === 'typescript') return renderDefinition(tool);
  if (tool.pythonIdentifier !== undefined) return renderPythonDefinition(tool);
  throw new WorkcellError(
    'unsupported',
    `${toolName(tool)} has no Python module; it can be called from TypeScript only`,
  );
}
