import { staleTools } from '../catalog/skill-record.ts';
import type { ShelvedSkill } from '../catalog/skill-shelf.ts';
import { WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import type { SkillScope, StaleTool } from '../core/skill.ts';
import type { ToolDescriptor } from '../core/tool.ts';

/** Saved code that programs import as `skills/<name>`, or why it cannot be used. */
export type Skill =
  | ({ readonly status: 'ready' } & ReadySkill)
  | { readonly status: 'broken'; readonly name: string; readonly scope: SkillScope; readonly problem: string };

export interface ReadySkill {
  readonly name: string;
  readonly scope: SkillScope;
  /** What it does and when to use it. */
  readonly description: string;
  /** What it can be imported from; none when it is instructions alone. */
  readonly languages: readonly Language[];
  /** The execution that it was saved from; null for one that was written by hand. */
  readonly execution: string | null;
  readonly tools: readonly { readonly server: string; readonly tool: string }[];
  /** Empty while every tool is what it was when the skill was saved. */
  readonly stale: readonly StaleTool[];
}

/** A skill as it stands against the `known` tools. */
export function viewSkill({ store, skill }: ShelvedSkill, known: readonly ToolDescriptor[]): Skill {
  const { scope } = store;
  if (skill.status === 'broken') return { ...skill, scope };
  const { name, document, languages, record } = skill;
  return {
    status: 'ready',
    name,
    scope,
    description: document.description,
    languages,
    execution: record?.execution ?? null,
    tools: record?.tools.map(({ server, tool }) => ({ server, tool })) ?? [],
    stale: record === undefined ? [] : staleTools(record, known),
  };
}

/** Throws `invalid_state` for one that is broken. */
export function assertReady(skill: Skill): ReadySkill {
  if (skill.status === 'ready') {
    const { status: _, ...ready } = skill;
    return ready;
  }
  throw new WorkcellError('invalid_state', `The skill "${skill.name}" is broken: ${skill.problem}`);
}
