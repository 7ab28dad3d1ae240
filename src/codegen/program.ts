import type { ToolDescriptor } from '../core/tool.ts';
import { readModuleSyntax } from './module-syntax.ts';
import { toolImports } from './tool-imports.ts';

/** How people see the program's file named. */
export const PROGRAM_FILE = 'program.ts';

/** A program that is ready to be transpiled. */
export interface GeneratedProgram {
  /** What is shown to people: the generated imports, then the body as its author wrote it. */
  readonly source: string;
  /** The TypeScript module that runs. Its default export is the program's value. */
  readonly module: string;
  /** The body's line, from 1, that each line of `module` comes from; 0 for lines that nobody wrote. */
  readonly bodyLines: readonly number[];
}

export interface ProgramParts {
  /** The tools that the program may import; an import is generated for each that the body does not import itself. */
  readonly tools: readonly ToolDescriptor[];
  readonly body: string;
}

/** Puts programs together. */
export class CodeGenerator {
  /**
   * The program that `body` becomes when the tools are in scope.
   *
   * A body that exports a value is a module as it stands. Any other becomes the body of an async function, so that it may
   * `return` its value at the top level; what it imports is lifted out, and every line keeps its number.
   */
  async compose({ tools, body }: ProgramParts): Promise<GeneratedProgram> {
    const imports = toolImports(tools, body);
    const source = imports.length === 0 ? body : `${imports.join('\n')}\n\n${body}`;
    const lines = [...imports.map((text) => ({ text, line: 0 })), ...bodyModule(body)];
    return {
      source,
      module: lines.map(({ text }) => text).join('\n'),
      bodyLines: lines.map(({ line }) => line),
    };
  }
}

interface Line {
  readonly text: string;
  readonly line: number;
}

function bodyModule(body: string): Line[] {
  const syntax = readModuleSyntax(body);
  // A body that the lexer cannot read has a syntax error, which is best reported on the text as it is.
  if (syntax === undefined || syntax.exportsValues) return linesOf(body, 1);
  const hoisted = syntax.imports.flatMap(({ start, end }) => {
    const before = body.slice(0, start);
    const column = start - (before.lastIndexOf('\n') + 1);
    return linesOf(' '.repeat(column) + body.slice(start, end), before.split('\n').length);
  });
  const erased = [...syntax.imports, ...syntax.typeExports.map((start) => ({ start, end: start + 'export'.length }))];
  return [
    ...hoisted,
    { text: 'export default await (async () => {', line: 0 },
    ...linesOf(blank(body, erased), 1),
    { text: '})();', line: 0 },
  ];
}

function linesOf(text: string, first: number): Line[] {
  return text.split('\n').map((line, index) => ({ text: line, line: first + index }));
}

/** `text` with spaces in place of these ranges; what is left keeps its line and column. */
function blank(text: string, ranges: readonly { readonly start: number; readonly end: number }[]): string {
  let result = text;
  for (const { start, end } of ranges) {
    result = result.slice(0, start) + result.slice(start, end).replace(/[^\r\n]/g, ' ') + result.slice(end);
  }
  return result;
}
