import { WorkcellError } from './errors.ts';

const SHAPE = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const MAX_LENGTH = 64;

/**
 * Why `name` cannot name a skill, and so a folder under `skills/`; undefined when it can. The rules are those of the Agent
 * Skills specification.
 */
export function skillNameProblem(name: string): string | undefined {
  if (name.length <= MAX_LENGTH && SHAPE.test(name)) return undefined;
  return `is not a name of a skill: use 1 to ${MAX_LENGTH} lower-case letters and digits, with single hyphens between them`;
}

/** Throws `invalid_argument` for what cannot be the name of a skill. */
export function assertSkillName(name: string): void {
  const problem = skillNameProblem(name);
  if (problem === undefined) return;
  throw new WorkcellError('invalid_argument', `${JSON.stringify(name.slice(0, 80))} ${problem}`);
}
