import type { ToolDescriptor } from '../core/tool.ts';
import { quote } from './comment.ts';
import { pascalCase } from './identifiers.ts';
import { type ImportStatement, readModuleSyntax } from './module-syntax.ts';

/**
 * The `known` tools that a program imports by static imports of its own, from `servers/<server>` or from
 * `servers/<server>/<identifier>`, in the order of its statements. An import of a whole server counts for all its tools.
 */
export function importedTools(body: string, known: readonly ToolDescriptor[]): ToolDescriptor[] {
  const statements = readModuleSyntax(body)?.imports ?? [];
  return [...new Set(statements.flatMap((statement) => toolsOf(statement, known)))];
}

/**
 * Import statements for `tools`, one a server. A tool that the body imports, or whose identifier the body declares, is
 * left to it. Of tools with the same identifier, all but the first are renamed after their server:
 * `search as searchFromGithub`.
 */
export function toolImports(tools: readonly ToolDescriptor[], body: string): string[] {
  const own = new Set(importedTools(body, tools));
  const declared = declaredNames(body);
  const wanted = [...new Set(tools)].filter((tool) => !own.has(tool) && !declared.has(tool.identifier));
  const taken = new Set(declared);
  const specifiers = wanted.map((tool) => ({ server: tool.server, text: specifier(tool, taken) }));
  return [...Map.groupBy(specifiers, ({ server }) => server)].sort(byFirst).map(([server, list]) => {
    const names = list.map(({ text }) => text).sort();
    return `import { ${names.join(', ')} } from ${quote(`servers/${server}`)};`;
  });
}

function toolsOf(
  { specifier, bindings }: ImportStatement,
  known: readonly ToolDescriptor[],
): readonly ToolDescriptor[] {
  const path = /^servers\/([^/]+)(?:\/([^/]+?)(?:\.ts)?)?$/.exec(specifier);
  const tools = known.filter((tool) => tool.server === path?.[1]);
  const names = bindings.map(({ imported }) => imported);
  if (path?.[2] !== undefined && path[2] !== 'index') {
    return names.length === 0 ? [] : tools.filter((tool) => tool.identifier === path[2]);
  }
  return names.some((name) => name === '*' || name === 'default')
    ? tools
    : names.flatMap((name) => tools.filter((tool) => tool.identifier === name));
}

/** The names that a body imports, or declares at the start of a line. */
function declaredNames(body: string): Set<string> {
  const imported = readModuleSyntax(body)?.imports.flatMap(({ bindings }) => bindings.map(({ local }) => local)) ?? [];
  const declared = [...body.matchAll(DECLARATION)].flatMap(
    ([, pattern, name]) => (pattern ?? name ?? '').match(WORD) ?? [],
  );
  return new Set([...imported, ...declared]);
}

/** A variable with its pattern, or the name of a function, class or enum. */
const DECLARATION =
  /^(?:export\s+)?(?:(?:const|let|var)\s+([\w$]+|[{[][^=;]*)|(?:default\s+)?(?:async\s+)?(?:function\*?|class|enum)\s+([\w$]+))/gm;
const WORD = /[A-Za-z_$][\w$]*/g;

function specifier({ server, identifier }: ToolDescriptor, taken: Set<string>): string {
  const alias = `${identifier}From${(server.match(/[A-Za-z0-9]+/g) ?? []).map(pascalCase).join('')}`;
  let local = identifier;
  for (let number = 1; taken.has(local); number += 1) local = number === 1 ? alias : `${alias}${number}`;
  taken.add(local);
  return local === identifier ? identifier : `${identifier} as ${local}`;
}

function byFirst([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
