import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, posix } from 'node:path';
import type { FileSystem } from 'typescript/unstable/fs';
import { readModuleSyntax } from './module-syntax.ts';
import { PROGRAM_FILE } from './program.ts';
import type { ServerModules } from './servers-plugin.ts';

export const PROJECT = '/tsconfig.json';
export const PROGRAM = `/${PROGRAM_FILE}`;

const LIBRARY = join(
  folderOf(
    `@typescript/typescript-${process.platform}-${process.arch}`,
    `${folderOf('typescript') ?? ''}/package.json`,
  ) ?? '',
  'lib',
);

/** More modules than any program needs. */
const MAX_MODULES = 2_000;

/**
 * Only what is a mistake whatever the data are stops a program: null checks and implicit `any` do not, because most
 * programs that they complain about run.
 */
const COMPILER_OPTIONS = {
  strict: false,
  strictFunctionTypes: true,
  strictBindCallApply: true,
  noEmit: true,
  skipLibCheck: true,
  target: 'esnext',
  module: 'esnext',
  moduleResolution: 'bundler',
  moduleDetection: 'force',
  allowImportingTsExtensions: true,
  lib: ['esnext'],
  types: ['node'],
  paths: { 'servers/*': ['./servers/*'] },
};

/** What the sandbox alone can resolve has no types here. */
const AMBIENT = "declare module '*';\n";

/**
 * All that the compiler gets to see: the program, the wrappers that it imports, and the types of Node. A program may name
 * any path in an import or a reference, and none of them leads to a file of the host.
 */
export class TypeFiles implements FileSystem {
  readonly #files = new Map([
    [PROJECT, JSON.stringify({ compilerOptions: COMPILER_OPTIONS, files: [PROGRAM_FILE, 'ambient.d.ts'] })],
    ['/ambient.d.ts', AMBIENT],
    [PROGRAM, ''],
  ]);
  readonly #types = new Map(['@types/node', 'undici-types'].map((name) => [`/node_modules/${name}/`, folderOf(name)]));

  /** Puts the program into place with the modules that it imports; gives the paths that are new or different. */
  async update(
    program: string,
    modules: ServerModules,
  ): Promise<{ readonly created: string[]; readonly changed: string[] }> {
    const created: string[] = [];
    const changed: string[] = [];
    for (const [path, text] of [[PROGRAM, program] as const, ...(await importedModules(program, modules))]) {
      const before = this.#files.get(path);
      if (before === undefined) created.push(path);
      else if (before !== text) changed.push(path);
      this.#files.set(path, text);
    }
    return { created, changed };
  }

  readFile = (path: string): string | null | undefined => {
    if (isCompilers(path)) return undefined;
    const text = this.#files.get(path);
    if (text !== undefined) return text;
    const real = this.#realTypes(path);
    return real !== undefined && existsSync(real) ? readFileSync(real, 'utf8') : null;
  };

  fileExists = (path: string): boolean | undefined => {
    if (isCompilers(path)) return undefined;
    const real = this.#realTypes(path);
    return this.#files.has(path) || (real !== undefined && existsSync(real));
  };

  directoryExists = (path: string): boolean =>
    [...this.#files.keys(), ...this.#types.keys()].some((file) => file.startsWith(`${path.replace(/\/$/, '')}/`)) ||
    this.#realTypes(path) !== undefined;

  getAccessibleEntries = (): { files: string[]; directories: string[] } => ({ files: [], directories: [] });

  realpath = (path: string): string => path;

  #realTypes(path: string): string | undefined {
    if (posix.normalize(path) !== path) return undefined;
    for (const [prefix, folder] of this.#types) {
      if (path.startsWith(prefix) && folder !== undefined) return join(folder, path.slice(prefix.length));
    }
    return undefined;
  }
}

/** The compiler reads the types of the language itself, beside its executable. */
function isCompilers(path: string): boolean {
  return dirname(path) === LIBRARY && /\/lib(\.[\w.]+)?\.d\.ts$/.test(path);
}

function folderOf(name: string, of: string = import.meta.url): string | undefined {
  try {
    return dirname(createRequire(of).resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
}

/** The files below `servers/` that a program reaches by static imports, by where the compiler looks for them. */
async function importedModules(program: string, modules: ServerModules): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const open = specifiersOf(program).filter((specifier) => specifier.startsWith('servers/'));
  for (const specifier of open) {
    const path = posix.normalize(specifier.slice('servers/'.length));
    for (const candidate of posix.extname(path) === '' ? [`${path}/index.ts`, `${path}.ts`] : [path]) {
      if (found.has(`/servers/${candidate}`) || found.size >= MAX_MODULES) break;
      const text = candidate.startsWith('..') ? undefined : await modules.load(candidate);
      if (text === undefined) continue;
      found.set(`/servers/${candidate}`, text);
      const relative = specifiersOf(text).filter((each) => each.startsWith('.'));
      open.push(...relative.map((each) => `servers/${posix.join(posix.dirname(candidate), each)}`));
      break;
    }
  }
  return found;
}

function specifiersOf(source: string): readonly string[] {
  return readModuleSyntax(source)?.specifiers ?? [];
}
