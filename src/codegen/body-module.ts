import { readModuleSyntax } from './module-syntax.ts';

/** A line of a module that was made of a body; its number in the body from 1, and 0 for one that nobody wrote. */
export interface Line {
  readonly text: string;
  readonly line: number;
}

/** The lines around a body that make it the inside of an async function. */
export interface BodyFrame {
  readonly open: string;
  readonly close: string;
}

/**
 * A body as a module. One that exports a value is a module as it stands; any other is framed, so that it may `return` at its
 * top level. What it imports is lifted out, and every line keeps its number.
 */
export function bodyModule(body: string, { open, close }: BodyFrame): Line[] {
  const syntax = readModuleSyntax(body);
  // A body that the lexer cannot read has a syntax error, which is best reported on the text as it is.
  if (syntax === undefined || syntax.exportsValues) return linesOf(body, 1);
  const hoisted = syntax.imports.flatMap(({ start, end }) => {
    const before = body.slice(0, start);
    const column = start - (before.lastIndexOf('\n') + 1);
    return linesOf(' '.repeat(column) + body.slice(start, end), before.split('\n').length);
  });
  const erased = [...syntax.imports, ...syntax.typeExports.map((start) => ({ start, end: start + 'export'.length }))];
  return [...hoisted, { text: open, line: 0 }, ...linesOf(blank(body, erased), 1), { text: close, line: 0 }];
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
