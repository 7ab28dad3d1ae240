import { parse, type StaticImport } from 'es-module-lexer';

/** What makes a source text a module. */
export interface ModuleSyntax {
  readonly imports: readonly ImportStatement[];
  /** Of every module that is imported or exported from, types alone or not. */
  readonly specifiers: readonly string[];
  /** Where the keyword `export` of an exported type stands. */
  readonly typeExports: readonly number[];
  readonly exportsValues: boolean;
  /** The names of the values that it exports, without those that it passes on from another module as a whole. */
  readonly exportedNames: readonly string[];
}

/** A static `import … from '…'`. */
export interface ImportStatement {
  readonly specifier: string;
  readonly start: number;
  readonly end: number;
  /** Empty for an import of types, or for its effects only. */
  readonly bindings: readonly Binding[];
}

export interface Binding {
  /** The exported name; `*` for the whole module. */
  readonly imported: string;
  /** The name in the importing module. */
  readonly local: string;
}

/** The imports and exports of a TypeScript source; undefined when its brackets or quotes do not match. */
export function readModuleSyntax(source: string): ModuleSyntax | undefined {
  try {
    const [imports, exports] = parse(source);
    const isImport = (entry: (typeof imports)[number]): entry is StaticImport =>
      entry.type === 'static' && IMPORT_STATEMENT.test(source.slice(entry.importStart, entry.importEnd));
    return {
      specifiers: imports.flatMap((entry) => (entry.type === 'static' ? [entry.specifier] : [])),
      imports: imports.filter(isImport).map((entry) => toStatement(source, entry)),
      typeExports: exports.flatMap((entry) => (entry.type === 'direct' && entry.typeOnly ? [entry.exportStart] : [])),
      exportsValues: exports.some((entry) => !entry.typeOnly),
      exportedNames: exports.flatMap((entry) => (entry.type === 'reexport-all' || entry.typeOnly ? [] : [entry.name])),
    };
  } catch {
    return undefined;
  }
}

/** Tells imports from re-exports and from `import name = require()`, which the lexer reports alike. */
const IMPORT_STATEMENT = /^import(?!\s+[\w$]+\s*=)/;

function toStatement(
  source: string,
  { specifier, importStart, start, importEnd, typeOnly }: StaticImport,
): ImportStatement {
  const bindings = typeOnly ? [] : readBindings(source.slice(importStart, start));
  return { specifier, start: importStart, end: importEnd, bindings };
}

/** The bindings of `import name, { a, b as c } from`, or of `import name, * as c from`. */
function readBindings(clause: string): Binding[] {
  const text = clause.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
  const byDefault = /^import\s+([\w$]+)/.exec(text)?.[1];
  const namespace = /\*\s*as\s+([\w$]+)/.exec(text)?.[1];
  const named = /\{([^}]*)\}/.exec(text)?.[1] ?? '';
  return [
    ...(byDefault === undefined ? [] : [{ imported: 'default', local: byDefault }]),
    ...(namespace === undefined ? [] : [{ imported: '*', local: namespace }]),
    ...named.split(',').flatMap((specifier) => {
      const match = /^\s*([\w$]+|'[^']*'|"[^"]*")(?:\s+as\s+([\w$]+))?\s*$/.exec(specifier);
      const imported = match?.[1]?.replace(/^['"]|['"]$/g, '');
      return imported === undefined ? [] : [{ imported, local: match?.[2] ?? imported }];
    }),
  ];
}
