import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import { programTools } from '../codegen/program-tools.ts';
import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import type { Selection } from '../core/selection.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import type { SearchOptions, ToolSelector } from '../selector/tool-selector.ts';
import type { ImportedSkill } from './imported-skills.ts';

interface Wish {
  readonly task?: string | undefined;
  readonly code?: string | undefined;
  readonly tools?: readonly string[] | undefined;
  /** Of the program that is to run. */
  readonly language: Language;
}

interface Sources extends Pick<SearchOptions, 'history' | 'unavailable'> {
  readonly catalog: ToolCatalog;
  readonly selector: ToolSelector;
  readonly config: Pick<Config, 'selector'>;
  /** Those that the program imports. */
  readonly skills: readonly ImportedSkill[];
}

/** The tools that a run may call. */
export interface ChosenTools {
  readonly selection: Selection;
  readonly tools: readonly ToolDescriptor[];
  /** Those that the program is to find imported; not those that only its skills need. */
  readonly offered: readonly ToolDescriptor[];
}

/**
 * The tools that were named; else those that the program and its skills import; else those that fit the task. For Python,
 * those that have no Python module are left out. Throws `not_found` for a name that no tool has, and `unsupported` for a named
 * tool without such a module.
 */
export async function chooseTools(wish: Wish, sources: Sources): Promise<ChosenTools> {
  const { catalog, selector, config, skills, history, unavailable = new Map() } = sources;
  if (wish.task === undefined && wish.code === undefined) {
    throw new WorkcellError('invalid_argument', 'There is nothing to run: give a task, a program, or both');
  }
  const known = catalog.list();
  const { language } = wish;
  if (wish.tools !== undefined) {
    const tools = wish.tools.map((name) => ({
      tool: assertCallable(catalog.get(name), language),
      reason: 'named by the caller',
    }));
    return named('explicit', tools, known.length);
  }
  const imported = wish.code === undefined ? [] : programTools(wish.code, language, known);
  const all = withSkills(imported, skills);
  if (all.length === 0 && wish.task === undefined) return named('none', [], known.length);
  if (all.length > 0) return { ...named('imports', all, known.length), offered: imported };
  const { limit, threshold } = config.selector;
  const options = { limit, history, unavailable, ...(threshold === undefined ? {} : { threshold }) };
  const selection = await selector.select(wish.task ?? '', options);
  const chosen = selection.tools.map((selected) => ({ selected, tool: catalog.get(toolName(selected)) }));
  const callable = chosen.filter(({ tool }) => isCallable(tool, language));
  const tools = callable.map(({ tool }) => tool);
  return { selection: { ...selection, tools: callable.map(({ selected }) => selected) }, tools, offered: tools };
}

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

interface NamedTool {
  readonly tool: ToolDescriptor;
  readonly reason: string;
}

function withSkills(imported: readonly ToolDescriptor[], skills: readonly ImportedSkill[]): readonly NamedTool[] {
  const reasons = new Map(imported.map((tool) => [tool, 'imported by the program']));
  for (const { name, tools } of skills) {
    for (const tool of tools) if (!reasons.has(tool)) reasons.set(tool, `used by the skill "${name}"`);
  }
  return [...reasons].map(([tool, reason]) => ({ tool, reason }));
}

function named(mode: 'explicit' | 'imports' | 'none', chosen: readonly NamedTool[], considered: number): ChosenTools {
  const tools = chosen.map(({ tool }) => tool);
  const selected = chosen.map(({ tool, reason }) => ({
    server: tool.server,
    tool: tool.tool,
    score: 1,
    reasons: [reason],
  }));
  return { selection: { mode, considered, tools: selected, noMatch: null }, tools, offered: tools };
}
