import { readModuleSyntax } from './module-syntax.ts';

/** The names of the skills that a TypeScript program imports by static imports, from `skills/<name>` or from a file in it. */
export function skillImports(source: string): readonly string[] {
  const specifiers = readModuleSyntax(source)?.imports.map(({ specifier }) => specifier) ?? [];
  return [...new Set(specifiers.flatMap((specifier) => /^skills\/([A-Za-z0-9_-]+)/.exec(specifier)?.[1] ?? []))];
}
