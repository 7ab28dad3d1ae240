import { posix } from 'node:path';
import type { Loader, OnResolveArgs, OnResolveResult, Plugin } from 'esbuild';
import type { SkillScope } from '../core/skill.ts';

/** Where the code of skills is read. */
export interface SkillModules {
  /** What `skills/<path>` names; with a scope, among the skills of that scope alone. Undefined when there is no such module. */
  findModule(path: string, scope?: SkillScope): Promise<SkillModule | undefined>;
}

export interface SkillModule {
  readonly scope: SkillScope;
  /** Below the folder of all skills of the scope, such as `split-bill/index.ts`. */
  readonly path: string;
  /** Null for one that only the guest can read. */
  readonly source: string | null;
}

/** esbuild's names for the plugin, and for the namespaces of the files that it reads. */
export const SKILL_NAMESPACES: Readonly<Record<SkillScope, string>> = { own: 'skills', shared: 'shared-skills' };

/**
 * Bundles the skills that a program and its skills import by static imports, so that all TypeScript works in them and only the
 * tools that they use come along.
 *
 * A skill that needs its own place (`import.meta`), or that the host cannot read, is left to the guest; so are dynamic
 * imports, whose skill may be written by the program itself.
 */
export function skillsPlugin(modules: SkillModules): Plugin {
  return {
    name: 'skills',
    setup(build) {
      const found = new FoundModules(modules);
      build.onResolve({ filter: /.*/ }, (args) => resolve(args, found));
      for (const namespace of Object.values(SKILL_NAMESPACES)) {
        build.onLoad({ filter: /.*/, namespace }, ({ path, pluginData }) => {
          const { source } = pluginData as SkillModule;
          return { contents: source ?? '', loader: LOADERS[posix.extname(path)] ?? 'ts', pluginData };
        });
      }
    },
  };
}

const LOADERS: Readonly<Record<string, Loader>> = { '.js': 'js', '.mjs': 'js', '.json': 'json' };
const IMPORT_META = /\bimport\s*\.\s*meta\b/;

async function resolve(args: OnResolveArgs, modules: FoundModules): Promise<OnResolveResult | undefined> {
  const wanted = pathInSkills(args);
  if (wanted === undefined) return undefined;
  const { path, scope } = wanted;
  if (path.startsWith('..')) return { errors: [{ text: `"${args.path}" leaves the folder of the skills` }] };
  if (args.kind !== 'import-statement') return { path: `skills/${path}`, external: true };
  const found = await modules.find(path, scope);
  if (found === 'too much')
    return {
      errors: [{ text: `The skills of the program are over ${MAX_MODULES} files or ${MAX_CHARACTERS} characters` }],
    };
  if (found === undefined)
    return { errors: [{ text: `Cannot find module "${args.path}": there is no such skill, or no TypeScript in it` }] };
  if (found.source === null || IMPORT_META.test(found.source)) return { path: `skills/${found.path}`, external: true };
  return { path: found.path, namespace: SKILL_NAMESPACES[found.scope], pluginData: found };
}

/** What one program may bundle: guests write skills, and the host holds all of them at once. */
const MAX_MODULES = 100;
const MAX_CHARACTERS = 4 * 1024 * 1024;

/** The modules of one program, each of them read once. */
class FoundModules {
  readonly #modules: SkillModules;
  readonly #found = new Map<string, Promise<SkillModule | undefined>>();
  #characters = 0;

  constructor(modules: SkillModules) {
    this.#modules = modules;
  }

  async find(path: string, scope: SkillScope | undefined): Promise<SkillModule | 'too much' | undefined> {
    const key = `${scope ?? ''}:${path}`;
    const known = this.#found.get(key);
    if (known === undefined && this.#found.size >= MAX_MODULES) return 'too much';
    const found = known ?? this.#modules.findModule(path, scope);
    this.#found.set(key, found);
    const module = await found;
    if (known === undefined) this.#characters += module?.source?.length ?? 0;
    return this.#characters > MAX_CHARACTERS ? 'too much' : module;
  }
}

function pathInSkills({
  path,
  namespace,
  importer,
  pluginData,
}: OnResolveArgs): { path: string; scope?: SkillScope } | undefined {
  if (path.startsWith('skills/')) return { path: posix.normalize(path.slice('skills/'.length)) };
  const isSkill = Object.values(SKILL_NAMESPACES).includes(namespace);
  if (!isSkill || !/^\.\.?\//.test(path)) return undefined;
  return { path: posix.join(posix.dirname(importer), path), scope: (pluginData as SkillModule).scope };
}
