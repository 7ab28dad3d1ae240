import { bodyModule } from './body-module.ts';
import { docComment } from './comment.ts';
import { type ModuleSyntax, readModuleSyntax } from './module-syntax.ts';

/** A program as code that others import. */
export interface SkillCode {
  /** By the name of the file in the skill's folder. */
  readonly files: ReadonlyMap<string, string>;
  /** The names that can be imported. */
  readonly exports: readonly string[];
}

/**
 * A TypeScript program as a module. One that exports values is that module; of any other the whole becomes a function `run()`,
 * which does again what the program did and gives back its value.
 */
export function skillModule(program: string, description: string): SkillCode {
  const syntax = readModuleSyntax(program);
  if (syntax === undefined || syntax.exportsValues)
    return { files: new Map([[FILE, program]]), exports: syntax?.exportedNames ?? [] };
  const name = functionName(syntax);
  const open = `${docComment([description])}${name === RUN ? 'export ' : ''}async function ${name}() {`;
  const lines = bodyModule(program, { open, close: '}' }).map(({ text }) => text);
  const start = lines.indexOf(open);
  const imports = syntax.imports.map(({ start: from, end }) => `${program.slice(from, end)};\n`);
  // What stays of the lines that held imports is their semicolons.
  const body = lines
    .slice(start + 1, -1)
    .join('\n')
    .replace(/^(?:[^\S\n]*;?[^\S\n]*\n)+|\s+$/g, '');
  const text = [
    ...(imports.length > 0 ? [imports.join('')] : []),
    `${open}\n${body}\n}`,
    ...(name === RUN ? [] : ['', `export { ${name} as ${RUN} };`]),
  ];
  return { files: new Map([[FILE, `${text.join('\n')}\n`]]), exports: [RUN] };
}

const FILE = 'index.ts';
const RUN = 'run';

/** One that the program does not import: it may be built on the `run` of another skill. */
function functionName(syntax: ModuleSyntax): string {
  const taken = new Set(syntax.imports.flatMap(({ bindings }) => bindings.map(({ local }) => local)));
  let name = RUN;
  for (let number = 1; taken.has(name); number += 1) name = `${RUN}${number}`;
  return name;
}
