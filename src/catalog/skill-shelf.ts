import type { SkillModule, SkillModules } from '../codegen/skills-plugin.ts';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { SkillScope } from '../core/skill.ts';
import type { SkillStore, StoredSkill } from './skill-store.ts';

/** The order in which the guest looks for a module, too. */
const ENDINGS = ['/index.ts', '/index.js', '/index.mjs', '.ts', '.js', '.mjs'];

/** The skills that one customer sees: what is in the first store goes before what is in the next. */
export class SkillShelf implements SkillModules {
  readonly stores: readonly SkillStore[];

  constructor(stores: readonly SkillStore[]) {
    this.stores = stores;
  }

  /** Throws `internal` for a scope that is not on the shelf. */
  store(scope: SkillScope): SkillStore {
    const store = this.stores.find((each) => each.scope === scope);
    if (store !== undefined) return store;
    throw new WorkcellError('internal', `There is no folder for skills that are ${scope}`);
  }

  /** By name; one that has the name of another in an earlier store is left out. */
  async list(): Promise<{ readonly skills: readonly ShelvedSkill[]; readonly truncated: boolean }> {
    const lists = await Promise.all(this.stores.map(async (store) => ({ store, ...(await store.list()) })));
    const all = lists.flatMap(({ store, skills }) => skills.map((skill) => ({ store, skill })));
    const first = new Map(all.toReversed().map((shelved) => [shelved.skill.name, shelved]));
    const skills = [...first.values()].sort((a, b) => (a.skill.name < b.skill.name ? -1 : 1));
    return { skills, truncated: lists.some(({ truncated }) => truncated) };
  }

  /** Throws `invalid_argument` for what cannot be the name of a skill. */
  async find(name: string): Promise<ShelvedSkill | undefined> {
    for (const store of this.stores) {
      const skill = await store.find(name);
      if (skill !== undefined) return { store, skill };
    }
    return undefined;
  }

  /** What a program gets that imports `skills/<path>`; with a scope, from that store alone. */
  async findModule(path: string, scope?: SkillScope): Promise<SkillModule | undefined> {
    const candidates = FILE.test(path) ? [path] : ENDINGS.map((ending) => `${path}${ending}`);
    for (const store of this.stores.filter((each) => scope === undefined || each.scope === scope)) {
      for (const candidate of candidates) {
        const source = await store.load(candidate).catch(leftToGuest);
        if (source !== undefined) return { scope: store.scope, path: candidate, source };
      }
    }
    return undefined;
  }
}

const FILE = /\.(?:m?[jt]s|json)$/;

/** What the host does not read, the guest may: it follows its own links, on its own ground. */
function leftToGuest(error: unknown): null {
  if (isWorkcellError(error) && error.code === 'invalid_state') return null;
  throw error;
}

export interface ShelvedSkill {
  readonly store: SkillStore;
  readonly skill: StoredSkill;
}
