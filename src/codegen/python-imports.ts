import { type PythonToken, pythonTokens } from './python-tokens.ts';

/** What is known of a Python source without running it. */
export interface PythonSyntax {
  /** Wherever they stand: also in functions and behind conditions. */
  readonly imports: readonly PythonImport[];
  /** Where the first statement may stand that is neither docstring nor `from __future__ import`. */
  readonly start: number;
}

/** `import module as local`, or one name of `from module import name as local`. */
export interface PythonImport {
  /** Dotted; starts with a dot when it is relative. */
  readonly module: string;
  /** `*` for all names; undefined for the module itself. */
  readonly name?: string;
  /** The name that is bound; none for `*`. */
  readonly local?: string;
}

/** Reads the import statements of a Python source. What is not correct Python is skipped. */
export function readPythonImports(source: string): PythonSyntax {
  const imports: PythonImport[] = [];
  let start = 0;
  let isHead = true;
  for (const line of logicalLines(source)) {
    const found = statements(line.tokens).flatMap(readStatement);
    imports.push(...found);
    isHead &&= isDocstring(line.tokens, start) || isFuture(found);
    if (isHead) start = line.end;
  }
  return { imports, start };
}

interface LogicalLine {
  readonly tokens: readonly PythonToken[];
  /** Behind its line end. */
  readonly end: number;
}

/** The lines that hold something. */
function* logicalLines(source: string): Generator<LogicalLine> {
  let tokens: PythonToken[] = [];
  for (const token of pythonTokens(source)) {
    if (token.kind !== 'newline') {
      tokens.push(token);
      continue;
    }
    if (tokens.length > 0) yield { tokens, end: token.end };
    tokens = [];
  }
  if (tokens.length > 0) yield { tokens, end: source.length };
}

/** The simple statements of a line; what stands before the colon of a compound one counts as one of its own. */
function statements(tokens: readonly PythonToken[]): PythonToken[][] {
  const list: PythonToken[][] = [[]];
  for (const token of tokens) {
    if (token.depth === 0 && (token.text === ';' || token.text === ':')) list.push([]);
    else list.at(-1)?.push(token);
  }
  return list;
}

function readStatement(tokens: readonly PythonToken[]): PythonImport[] {
  const [keyword] = tokens;
  if (keyword?.kind !== 'name') return [];
  if (keyword.text === 'import') {
    return clauses(tokens.slice(1)).flatMap((clause) => {
      const { name: module, local } = readClause(clause);
      if (module === '') return [];
      return [{ module, local: local ?? module.split('.', 1)[0] ?? module }];
    });
  }
  const at = tokens.findIndex(({ text }) => text === 'import');
  if (keyword.text !== 'from' || at < 0) return [];
  const module = textOf(tokens.slice(1, at));
  const names = tokens.slice(at + 1).filter(({ text }) => text !== '(' && text !== ')');
  return clauses(names).flatMap((clause) => {
    const { name, local = name } = readClause(clause);
    if (name === '') return [];
    return [name === '*' ? { module, name } : { module, name, local }];
  });
}

/** What the commas separate. */
function clauses(tokens: readonly PythonToken[]): PythonToken[][] {
  const list: PythonToken[][] = [[]];
  for (const token of tokens) {
    if (token.text === ',') list.push([]);
    else list.at(-1)?.push(token);
  }
  return list;
}

/** `name` or `name as local`. */
function readClause(tokens: readonly PythonToken[]): { readonly name: string; readonly local?: string } {
  const at = tokens.findIndex(({ text }) => text === 'as');
  if (at < 0) return { name: textOf(tokens) };
  return { name: textOf(tokens.slice(0, at)), local: textOf(tokens.slice(at + 1)) };
}

function textOf(tokens: readonly PythonToken[]): string {
  return tokens.map(({ text }) => text).join('');
}

function isDocstring(tokens: readonly PythonToken[], start: number): boolean {
  return start === 0 && tokens.every(({ kind }) => kind === 'string');
}

function isFuture(imports: readonly PythonImport[]): boolean {
  return imports[0]?.module === '__future__';
}
