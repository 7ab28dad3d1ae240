import { pythonPackage } from '../core/python-package.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import { type PythonImport, readPythonImports } from './python-imports.ts';

/** A program in Python, ready to run. */
export interface PythonProgram {
  /** What is shown to people, and is a program as it stands: the body with the generated imports in it. */
  readonly source: string;
  /** As its author wrote it. */
  readonly body: string;
  /** Statements that run before the body, in its namespace; empty for none. */
  readonly imports: string;
}

/** The program that `body` becomes when the tools are in scope. Its lines keep their numbers: the imports run apart from it. */
export function composePython(tools: readonly ToolDescriptor[], body: string): PythonProgram {
  const { imports: own, start } = readPythonImports(body);
  const imports = generatedImports(tools, own).join('\n');
  if (imports === '') return { source: body, body, imports };
  const head = body.slice(0, start);
  const gap = head === '' ? '' : head.endsWith('\n') ? '\n' : '\n\n';
  return { source: `${head}${gap}${imports}\n\n${body.slice(start)}`, body, imports };
}

/**
 * The `known` tools that a Python program imports by statements of its own: names from `servers.<package>`, modules
 * `servers.<package>.<identifier>`, or a whole package, which counts for all its tools.
 */
export function importedPythonTools(body: string, known: readonly ToolDescriptor[]): ToolDescriptor[] {
  return importedBy(readPythonImports(body).imports, known);
}

function importedBy(imports: readonly PythonImport[], known: readonly ToolDescriptor[]): ToolDescriptor[] {
  const packages = Map.groupBy(
    known.filter(({ pythonIdentifier }) => pythonIdentifier !== undefined),
    ({ server }) => pythonPackage(server),
  );
  // A program may say the same a thousand times.
  const paths = new Set(imports.map(({ module, name }) => (name === undefined ? module : `${module}.${name}`)));
  return [...new Set([...paths].flatMap((path) => toolsAt(path, packages)))];
}

/** The tools at a path such as `servers.memory`, `servers.memory.*` or `servers.memory.read_graph`. */
function toolsAt(path: string, packages: ReadonlyMap<string, readonly ToolDescriptor[]>): readonly ToolDescriptor[] {
  const [root, server = '', tool, ...rest] = path.split('.');
  const tools = root === 'servers' ? (packages.get(server) ?? []) : [];
  if (tool === undefined || tool === '*') return tools;
  // `servers.memory.create_entities.create_entities` is what the module of one tool holds.
  return rest.length > 1 ? [] : tools.filter(({ pythonIdentifier }) => pythonIdentifier === tool);
}

/**
 * One statement a server for the tools that the program does not import itself. Of tools with the same identifier, all but
 * the first are renamed after their server: `search as search_from_github`.
 */
function generatedImports(tools: readonly ToolDescriptor[], own: readonly PythonImport[]): string[] {
  const imported = new Set(importedBy(own, tools));
  const taken = new Set(own.flatMap(({ local }) => local ?? []));
  const wanted = [...new Set(tools)].filter(
    (tool) => !imported.has(tool) && tool.pythonIdentifier !== undefined && !taken.has(tool.pythonIdentifier),
  );
  const clauses = wanted.map((tool) => ({ server: pythonPackage(tool.server), text: clause(tool, taken) }));
  return [...Map.groupBy(clauses, ({ server }) => server)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([server, list]) =>
        `from servers.${server} import ${list
          .map(({ text }) => text)
          .sort()
          .join(', ')}`,
    );
}

function clause({ server, pythonIdentifier = '' }: ToolDescriptor, taken: Set<string>): string {
  const alias = `${pythonIdentifier}_from_${server.replace(/\W/g, '_')}`;
  let local = pythonIdentifier;
  for (let number = 1; taken.has(local); number += 1) local = number === 1 ? alias : `${alias}_${number}`;
  taken.add(local);
  return local === pythonIdentifier ? local : `${pythonIdentifier} as ${local}`;
}
