import { staleTools } from '../catalog/skill-record.ts';
import type { SkillShelf } from '../catalog/skill-shelf.ts';
import type { SkillFile, SkillStore } from '../catalog/skill-store.ts';
import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import { programTools } from '../codegen/program-tools.ts';
import { skillImports } from '../codegen/skill-imports.ts';
import type { Language } from '../core/execution.ts';
import type { StaleTool } from '../core/skill.ts';
import { skillNameProblem } from '../core/skill-name.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { staleText } from './stale-text.ts';

/** A skill that a program imports, with the tools that it needs. */
export interface ImportedSkill {
  readonly name: string;
  /** Those that were something else when it was saved. */
  readonly stale: readonly StaleTool[];
  readonly tools: readonly ToolDescriptor[];
}

/** Names that are looked up for one program: skills may import one another without end, and guests write them. */
const MAX_NAMES = 100;

/**
 * The skills that a program imports, and those that they import, with the tools that each was saved with or imports itself. A
 * guest may have written both, which gives it nothing: a program of that customer may import any tool that is listed, too.
 */
export async function importedSkills(
  { code, language }: { readonly code: string; readonly language: Language },
  shelf: SkillShelf,
  catalog: ToolCatalog,
): Promise<readonly ImportedSkill[]> {
  const found = new Map<string, ImportedSkill>();
  const names = new Set(skillImports(code, language));
  let looked = 0;
  for (const name of names) {
    looked += 1;
    if (looked > MAX_NAMES) break;
    const read = await readSkill(name, language, shelf);
    if (read === undefined) continue;
    const { store, code: files } = read;
    for (const { text } of files) for (const next of skillImports(text, language)) names.add(next);
    const imported = new Set(files.flatMap(({ text }) => programTools(text, language, catalog.list())));
    found.set(name, await describe(name, store, imported, catalog));
  }
  return [...found.values()];
}

/** What to tell of those that may not work as they did. */
export function staleWarnings(skills: readonly ImportedSkill[]): readonly string[] {
  return skills.flatMap(({ name, stale }) =>
    stale.length === 0 ? [] : [`The skill "${name}" is ${staleText(stale)} since it was saved`],
  );
}

/** The first store whose skill of this name holds code in the language, as the guest looks for it. */
async function readSkill(
  name: string,
  language: Language,
  { stores }: SkillShelf,
): Promise<{ store: SkillStore; code: readonly SkillFile[] } | undefined> {
  for (const store of stores) {
    const code = (await store.code(name)).filter(({ path }) => path.endsWith('.py') === (language === 'python'));
    if (code.length > 0) return { store, code };
  }
  return undefined;
}

async function describe(
  name: string,
  store: SkillStore,
  imported: ReadonlySet<ToolDescriptor>,
  catalog: ToolCatalog,
): Promise<ImportedSkill> {
  // A single file in the place of a folder may have a name that no skill can have.
  const skill = skillNameProblem(name) === undefined ? await store.find(name) : undefined;
  const record = skill?.status === 'ready' ? skill.record : undefined;
  const recorded = new Set(record?.tools.map(toolName));
  return {
    name,
    stale: record === undefined ? [] : staleTools(record, catalog.all()),
    tools: catalog.list().filter((tool) => imported.has(tool) || recorded.has(toolName(tool))),
  };
}
