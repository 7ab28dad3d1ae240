import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { CodeGenerator } from '../codegen/program.ts';
import { pythonPackage } from '../codegen/python-package.ts';
import { composePython } from '../codegen/python-program.ts';
import { locateError } from '../codegen/source-positions.ts';
import { transpile } from '../codegen/transpile.ts';
import type { Language, ProgramError } from '../core/execution.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { ProgramSource } from '../protocol/runner-frames.ts';

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
}

export interface ProgramToPrepare {
  readonly language: Language;
  readonly body: string;
  /** The tools to write imports for. */
  readonly called: readonly ToolDescriptor[];
  /** Whether the guest has the folder of the servers. */
  readonly hasServers: boolean;
}

/** Puts a program together with the tools that it may use. */
export async function prepareProgram(
  { language, body, called, hasServers }: ProgramToPrepare,
  generator: CodeGenerator,
  catalog: ToolCatalog,
): Promise<PreparedProgram> {
  if (language === 'python') {
    const { source, imports } = composePython(called, body);
    const modules = hasServers ? {} : await pythonModules(called, catalog);
    // The interpreter runs the author's own lines, and reports in them.
    return { source, build: { ok: true, runs: { language, code: body, imports, modules }, locate: (error) => error } };
  }
  const program = await generator.compose({ tools: called, body });
  const transpiled = await transpile(program, catalog);
  if (!transpiled.ok) return { source: program.source, build: transpiled };
  const { code } = transpiled;
  const locate = (error: ProgramError) => locateError(error, program, transpiled);
  return { source: program.source, build: { ok: true, runs: { language, code }, locate } };
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
