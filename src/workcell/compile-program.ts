import type { GeneratedProgram } from '../codegen/program.ts';
import type { ServerModules } from '../codegen/servers-plugin.ts';
import type { SkillModules } from '../codegen/skills-plugin.ts';
import { type TranspileResult, transpile } from '../codegen/transpile.ts';
import type { TypeChecker } from '../codegen/type-checker.ts';

export interface CompileOptions {
  readonly servers: ServerModules;
  readonly skills: SkillModules;
  /** Refuses a program that calls a tool wrongly. */
  readonly typeChecker?: TypeChecker | undefined;
}

export interface CompiledProgram {
  readonly result: TranspileResult;
  readonly warnings: readonly string[];
}

/** The program as it runs, or what is wrong with it. That its types could not be checked is a warning. */
export async function compileProgram(
  program: GeneratedProgram,
  { servers, skills, typeChecker }: CompileOptions,
): Promise<CompiledProgram> {
  const result = await transpile(program, servers, skills);
  if (!result.ok || typeChecker === undefined) return { result, warnings: [] };
  const check = await typeChecker.check(program);
  if (!check.checked) return { result, warnings: [check.reason] };
  return { result: check.error === null ? result : { ok: false, error: check.error }, warnings: [] };
}
