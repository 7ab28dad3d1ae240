import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import { importedPythonTools } from '../codegen/python-program.ts';
import { importedTools } from '../codegen/tool-imports.ts';
import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import type { SelectedTool, Selection } from '../core/selection.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import type { ToolSelector } from '../selector/tool-selector.ts';

interface Wish {
  readonly task?: string | undefined;
  readonly code?: string | undefined;
  readonly tools?: readonly string[] | undefined;
  /** Of the program that is to run. */
  readonly language: Language;
}

interface Sources {
  readonly catalog: ToolCatalog;
  readonly selector: ToolSelector;
  readonly config: Pick<Config, 'selector'>;
}

/**
 * The tools that a run may call: those that were named; else those that the program imports itself; else those that fit
 * the task. For Python, those that have no Python module are left out. Throws `not_found` for a name that no tool has, and
 * `unsupported` for a named tool without such a module.
 */
export async function chooseTools(
  wish: Wish,
  { catalog, selector, config }: Sources,
): Promise<{ selection: Selection; tools: readonly ToolDescriptor[] }> {
  if (wish.task === undefined && wish.code === undefined) {
    throw new WorkcellError('invalid_argument', 'There is nothing to run: give a task, a program, or both');
  }
  const known = catalog.list();
  if (wish.tools !== undefined)
    return named(
      'explicit',
      wish.tools.map((name) => assertCallable(catalog.get(name), wish.language)),
      known.length,
    );
  const imported = wish.code === undefined ? [] : IMPORTED[wish.language](wish.code, known);
  if (imported.length > 0 || wish.task === undefined)
    return named(imported.length > 0 ? 'imports' : 'none', imported, known.length);
  const { limit, threshold } = config.selector;
  const selection = await selector.select(wish.task, threshold === undefined ? { limit } : { limit, threshold });
  const tools = selection.tools.map((selected) => ({ selected, tool: catalog.get(toolName(selected)) }));
  const callable = tools.filter(({ tool }) => isCallable(tool, wish.language));
  return {
    selection: { ...selection, tools: callable.map(({ selected }) => selected) },
    tools: callable.map(({ tool }) => tool),
  };
}

const IMPORTED = { typescript: importedTools, python: importedPythonTools };

function isCallable(tool: ToolDescriptor, language: Language): boolean {
  return language === 'typescript' || tool.pythonIdentifier !== undefined;
}

function assertCallable(tool: ToolDescriptor, language: Language): ToolDescriptor {
  if (isCallable(tool, language)) return tool;
  throw new WorkcellError(
    'unsupported',
    `"${toolName(tool)}" has no Python module; write the program in TypeScript, or run \`workcell tools sync\` if its server is an MCP server`,
  );
}

function named(
  mode: 'explicit' | 'imports' | 'none',
  tools: readonly ToolDescriptor[],
  considered: number,
): { selection: Selection; tools: readonly ToolDescriptor[] } {
  const reason = mode === 'explicit' ? 'named by the caller' : 'imported by the program';
  const selected: SelectedTool[] = tools.map(({ server, tool }) => ({ server, tool, score: 1, reasons: [reason] }));
  return { selection: { mode, considered, tools: selected, noMatch: null }, tools };
}
