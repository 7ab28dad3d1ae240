import type { Language } from '../core/execution.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import { importedPythonTools } from './python-program.ts';
import { importedTools } from './tool-imports.ts';

/** The `known` tools that a program, or a module, imports by statements of its own, each once. */
export function programTools(
  source: string,
  language: Language,
  known: readonly ToolDescriptor[],
): readonly ToolDescriptor[] {
  return IMPORTED[language](source, known);
}

const IMPORTED = { typescript: importedTools, python: importedPythonTools };
