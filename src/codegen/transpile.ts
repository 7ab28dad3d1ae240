import { type BuildFailure, type BuildResult, build } from 'esbuild';
import type { ProgramError } from '../core/execution.ts';
import { compileError } from './compile-error.ts';
import { type GeneratedProgram, PROGRAM_FILE } from './program.ts';
import { type ServerModules, serversPlugin } from './servers-plugin.ts';
import { type SkillModules, skillsPlugin } from './skills-plugin.ts';

export interface TranspiledProgram {
  /** One JavaScript module for Node 22. */
  readonly code: string;
  /** Its source map, as JSON. */
  readonly map: string;
}

export type TranspileResult =
  | ({ readonly ok: true } & TranspiledProgram)
  | { readonly ok: false; readonly error: ProgramError };

/**
 * The program as JavaScript, with the wrappers and skills that it uses bundled in; other imports are left for the guest to
 * resolve, without `skills` theirs too.
 *
 * A syntax error, and an import from `servers/…` or `skills/…` of something that is not there, are results with the author's line. Takes
 * a few milliseconds; the first call also starts the compiler, a child process that does not keep this one alive.
 */
export async function transpile(
  program: GeneratedProgram,
  servers: ServerModules,
  skills?: SkillModules,
): Promise<TranspileResult> {
  try {
    const { outputFiles } = await bundle(program, servers, skills);
    const [map = '', code = ''] = ['.map', '.js'].map(
      (end) => outputFiles?.find(({ path }) => path.endsWith(end))?.text,
    );
    return { ok: true, code, map };
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    return { ok: false, error: compileError(error.errors, program) };
  }
}

function bundle(program: GeneratedProgram, servers: ServerModules, skills?: SkillModules): Promise<BuildResult> {
  return build({
    stdin: { contents: program.module, sourcefile: PROGRAM_FILE, loader: 'ts' },
    plugins: [...(skills === undefined ? [] : [skillsPlugin(skills)]), serversPlugin(servers)],
    bundle: true,
    write: false,
    outfile: 'program.js',
    format: 'esm',
    platform: 'node',
    target: 'node22',
    sourcemap: 'external',
    sourcesContent: false,
    legalComments: 'none',
    charset: 'utf8',
    logLevel: 'silent',
    logOverride: { 'import-is-undefined': 'error' },
    tsconfigRaw: {},
  });
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && Array.isArray((error as { errors?: unknown }).errors);
}
