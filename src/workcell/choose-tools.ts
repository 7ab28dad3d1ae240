import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import { importedTools } from '../codegen/tool-imports.ts';
import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import type { Selection } from '../core/selection.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { ToolSelector } from '../selector/tool-selector.ts';
import type { ImportedSkill } from './imported-skills.ts';

interface Wish {
  readonly task?: string | undefined;
  readonly code?: string | undefined;
  readonly tools?: readonly string[] | undefined;
}

interface Sources {
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
 * The tools that were named; else those that the program and its skills import; else those that fit the task. Throws `not_found`
 * for a name that no tool has.
 */
export async function chooseTools(wish: Wish, { catalog, selector, config, skills }: Sources): Promise<ChosenTools> {
  if (wish.task === undefined && wish.code === undefined) {
    throw new WorkcellError('invalid_argument', 'There is nothing to run: give a task, a program, or both');
  }
  const known = catalog.list();
  if (wish.tools !== undefined) {
    const tools = wish.tools.map((name) => ({ tool: catalog.get(name), reason: 'named by the caller' }));
    return named('explicit', tools, known.length);
  }
  const imported = wish.code === undefined ? [] : importedTools(wish.code, known);
  const all = withSkills(imported, skills);
  if (all.length === 0 && wish.task === undefined) return named('none', [], known.length);
  if (all.length > 0) return { ...named('imports', all, known.length), offered: imported };
  const { limit, threshold } = config.selector;
  const selection = await selector.select(wish.task ?? '', threshold === undefined ? { limit } : { limit, threshold });
  const tools = selection.tools.map(({ server, tool }) => catalog.get(`${server}.${tool}`));
  return { selection, tools, offered: tools };
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
