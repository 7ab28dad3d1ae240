import type { SkillShelf } from '../catalog/skill-shelf.ts';
import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { CodeGenerator } from '../codegen/program.ts';
import { composePython } from '../codegen/python-program.ts';
import { locateError } from '../codegen/source-positions.ts';
import type { TypeChecker } from '../codegen/type-checker.ts';
import type { Language, ProgramError } from '../core/execution.ts';
import { pythonPackage } from '../core/python-package.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { ProgramSource } from '../protocol/runner-frames.ts';
import { compileProgram } from './compile-program.ts';

/** A program as people see it, and as a runner takes it, or why it cannot be run. */
export interface PreparedProgram {
  readonly source: string;
  readonly build:
    | {
        readonly ok: true;
        readonly runs: ProgramSource;
        /** An error that it raised, with positions in the author's lines. */
        readonly locate: (error: ProgramError) => ProgramError;
      }
    | { readonly ok: false; readonly error: ProgramError };
  readonly warnings: readonly string[];
}

export interface ProgramToPrepare {
  readonly language: Language;
  readonly body: string;
  /** The tools to write imports for. */
  readonly called: readonly ToolDescriptor[];
  /** These, and those that its skills call. */
  readonly callable: readonly ToolDescriptor[];
}

export interface PrepareOptions {
  readonly generator: CodeGenerator;
  readonly catalog: ToolCatalog;
  readonly skills: SkillShelf;
  /** Refuses a program that calls a tool wrongly; one in Python is checked where it runs, before it does. */
  readonly typeChecker?: TypeChecker | undefined;
  /** Whether the guest has the folder of the servers. */
  readonly hasServers: boolean;
}

/** Puts a program together with the tools that it may use. */
export async function prepareProgram(
  { language, body, called, callable }: ProgramToPrepare,
  { generator, catalog, skills, typeChecker, hasServers }: PrepareOptions,
): Promise<PreparedProgram> {
  if (language === 'python') {
    const { source, imports } = composePython(called, body);
    const modules = hasServers ? {} : await pythonModules(callable, catalog);
    // The interpreter runs the author's own lines, and reports in them.
    const runs = { language, code: body, imports, modules, typeCheck: typeChecker !== undefined };
    return { source, build: { ok: true, runs, locate: (error) => error }, warnings: [] };
  }
  const program = await generator.compose({ tools: called, body });
  const { source } = program;
  const { result, warnings } = await compileProgram(program, { servers: catalog, skills, typeChecker });
  if (!result.ok) return { source, build: result, warnings };
  const runs = { language, code: result.code };
  return { source, build: { ok: true, runs, locate: (error) => locateError(error, program, result) }, warnings };
}

/** The modules of the servers of these tools, by the paths at which a guest would have them. */
async function pythonModules(tools: readonly ToolDescriptor[], catalog: ToolCatalog): Promise<Record<string, string>> {
  const servers = new Set(tools.map(({ server }) => server));
  const files = [...servers].flatMap((server) => [
    { server, name: '__init__' },
    ...catalog.list().flatMap((tool) => {
      const { pythonIdentifier: name } = tool;
      return tool.server === server && name !== undefined ? [{ server, name }] : [];
    }),
  ]);
  const read = await Promise.all([
    catalog.load('runtime.py').then((text) => ({ path: 'runtime.py', text })),
    ...files.map(async ({ server, name }) => {
      const text = await catalog.load(`${server}/${name}.py`);
      return { path: `${pythonPackage(server)}/${name}.py`, text };
    }),
  ]);
  const present = read.flatMap(({ path, text }) =>
    text === undefined ? [] : [[`/workspace/servers/${path}`, text] as const],
  );
  return Object.fromEntries(present);
}
