import { renderSkillDocument, toDescription } from '../catalog/skill-document.ts';
import { renderSkillRecord, skillRecord } from '../catalog/skill-record.ts';
import type { ShelvedSkill, SkillShelf } from '../catalog/skill-shelf.ts';
import type { SkillFile } from '../catalog/skill-store.ts';
import { readModuleSyntax } from '../codegen/module-syntax.ts';
import { programTools } from '../codegen/program-tools.ts';
import { skillModule } from '../codegen/skill-module.ts';
import { skillPackage } from '../codegen/skill-package.ts';
import { WorkcellError } from '../core/errors.ts';
import type { SkillScope } from '../core/skill.ts';
import { assertSkillName } from '../core/skill-name.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { ToolSelector } from '../selector/tool-selector.ts';
import type { ExecutionHistory } from '../sessions/execution-history.ts';
import { nearest } from '../util/nearest.ts';
import { skillUsage } from './skill-usage.ts';
import { assertReady, type ReadySkill, type Skill, viewSkill } from './skill-view.ts';

export interface SaveSkill {
  /** 1 to 64 lower-case letters and digits, with single hyphens between them. */
  readonly name: string;
  /** The id of a completed execution, whose program becomes the skill. */
  readonly execution: string;
  /** What it does and when to use it, up to 1,024 characters. Default: the task of the execution. */
  readonly description?: string | undefined;
  /** Replaces a skill of that name. */
  readonly force?: boolean | undefined;
}

export interface SkillList {
  readonly skills: readonly Skill[];
  /** Whether there are more than 1,000 in a folder, of which the rest is not told. */
  readonly truncated: boolean;
}

/** A skill with everything in it. */
export interface SkillDetails extends ReadySkill {
  /** The instructions of `SKILL.md`, in Markdown. */
  readonly instructions: string;
  readonly code: readonly SkillFile[];
}

/** A skill that fits a query: 0 to 1, and why. */
export interface SkillHit {
  readonly skill: ReadySkill;
  readonly score: number;
  readonly reasons: readonly string[];
}

export interface SkillsOptions<Request extends SaveSkill> {
  readonly shelf: () => Promise<SkillShelf>;
  /** Which of them are saved and removed; the others are only looked at. */
  readonly scope: SkillScope;
  /** All that are known, hidden or not: what cannot be called at the moment has not changed. */
  readonly tools: () => readonly ToolDescriptor[];
  readonly recorded: (request: Request) => Promise<ExecutionHistory>;
}

/** Saved code that programs import: that of a customer and what all share, or what all share alone. */
export class Skills<Request extends SaveSkill = SaveSkill> {
  readonly #options: SkillsOptions<Request>;

  constructor(options: SkillsOptions<Request>) {
    this.#options = options;
  }

  /**
   * Makes a skill of the program of a completed execution: a module, with the tools that it uses as they are now.
   *
   * Throws `not_found` when there is no such execution, `invalid_state` unless it completed and needs no file of the
   * workspace, `invalid_argument` for a name or description that is not allowed, and `already_exists` without `force` when there
   * is one of that name.
   */
  async save(request: Request): Promise<ReadySkill> {
    const { name, force = false } = request;
    const { shelf, scope, tools, recorded } = this.#options;
    assertSkillName(name);
    const execution = await recorded(request);
    assertSavable(execution);
    const { program, task, language } = execution.started;
    const description = request.description ?? toDescription(task ?? '');
    const code = MODULES[language](program, toDescription(description));
    const body = skillUsage(name, language, code.exports);
    const document = renderSkillDocument({ name, description, body });
    const record = skillRecord(execution.started.executionId, usedTools(execution, tools()));
    const store = (await shelf()).store(scope);
    await store.save(name, { document, record: renderSkillRecord(record), code: code.files }, { replace: force });
    return assertReady(viewSkill(await this.#find(name), tools()));
  }

  /** By name, also those that are broken; a customer's own goes before a shared one of the same name. */
  async list(): Promise<SkillList> {
    const tools = this.#options.tools();
    const { skills, truncated } = await (await this.#options.shelf()).list();
    return { skills: skills.map((shelved) => viewSkill(shelved, tools)), truncated };
  }

  /** Throws `not_found` with the nearest names, and `invalid_state` for one that is broken. */
  async get(name: string): Promise<SkillDetails> {
    const shelved = await this.#find(name);
    const ready = assertReady(viewSkill(shelved, this.#options.tools()));
    const instructions = shelved.skill.status === 'ready' ? shelved.skill.document.body : '';
    return { ...ready, instructions, code: await shelved.store.code(name) };
  }

  /** Those that fit best, first; broken ones are left out. */
  async search(query: string, options: { readonly limit?: number } = {}): Promise<readonly SkillHit[]> {
    const ready = (await this.list()).skills.filter((skill) => skill.status === 'ready');
    const byName = new Map(ready.map((skill) => [skill.name, skill]));
    const hits = await new ToolSelector(ready.map(asTool)).search(query, options);
    return hits.flatMap(({ tool, score, reasons }) => {
      const skill = byName.get(tool);
      return skill === undefined ? [] : [{ skill, score, reasons }];
    });
  }

  /** Of a customer: one of its own. Throws `not_found`, and `forbidden` for one that all share. */
  async remove(name: string): Promise<void> {
    const { store } = await this.#find(name);
    if (store.scope === this.#options.scope) return await store.remove(name);
    throw new WorkcellError('forbidden', `The skill "${name}" is shared by all customers; remove it with --shared`);
  }

  async #find(name: string): Promise<ShelvedSkill> {
    const shelf = await this.#options.shelf();
    const found = await shelf.find(name);
    if (found !== undefined) return found;
    const close = nearest(
      name,
      (await shelf.list()).skills.map(({ skill }) => skill.name),
      3,
    );
    const hint = close.length > 0 ? `did you mean ${close.join(' or ')}?` : 'see `workcell skill list`';
    throw new WorkcellError('not_found', `There is no skill "${name}"; ${hint}`, { details: { nearest: close } });
  }
}

const MODULES = { typescript: skillModule, python: skillPackage };

/** Throws `invalid_state` unless the program completed, is known whole, and can stand in another place. */
function assertSavable({ started, finished }: ExecutionHistory): void {
  const { executionId: id } = started;
  const refuse = (why: string) =>
    new WorkcellError('invalid_state', `Cannot save the execution "${id}" as a skill: ${why}`);
  if (finished === undefined) throw refuse('it has not finished; save one that completed');
  if (finished.status !== 'completed') {
    const error = finished.error === null ? '' : ` with ${finished.error.name}`;
    throw refuse(`it ended as ${finished.status}${error}; save one that completed`);
  }
  if (started.truncated?.includes('program')) throw refuse('its program is too long to have been kept whole');
  const specifiers = started.language === 'typescript' ? readModuleSyntax(started.program)?.specifiers : [];
  const local = specifiers?.find((specifier) => /^\.{0,2}\//.test(specifier));
  if (local !== undefined)
    throw refuse(
      `it imports ${JSON.stringify(local)} from the workspace, which a skill does not have beside it; put that code into the program`,
    );
}

/** The tools that the program imports, or has called and got an answer from, as they are now. */
function usedTools({ started, calls }: ExecutionHistory, known: readonly ToolDescriptor[]): readonly ToolDescriptor[] {
  const imported = new Set(programTools(started.program, started.language, known));
  const called = new Set(calls.filter(({ ok }) => ok).map(toolName));
  const used = known.filter((tool) => imported.has(tool) || called.has(toolName(tool)));
  const gone = [...called].filter((name) => !used.some((tool) => toolName(tool) === name));
  if (gone.length === 0) return used;
  throw new WorkcellError(
    'invalid_state',
    `Cannot save the execution "${started.executionId}" as a skill: it called ${gone.join(', ')}, which is no longer there`,
  );
}

/** What the selector looks at: a skill is found like a tool. */
function asTool({ name, description }: ReadySkill): ToolDescriptor {
  return { kind: 'module', server: 'skills', tool: name, identifier: name, description, inputSchema: {} };
}
