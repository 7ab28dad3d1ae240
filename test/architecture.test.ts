import { globSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { findViolations } from './architecture/rules.ts';
import { tokenize } from './architecture/tokens.ts';

const SRC = fileURLToPath(new URL('../src/', import.meta.url));

describe('the sources', () => {
  const paths = globSync('**/*.ts', { cwd: SRC });

  test('keep the import table, without cycles, long files and stray reads of process.env', () => {
    expect(paths.length).toBeGreaterThan(20);
    expect(findViolations(new Map(paths.map((path) => [path, readFileSync(posix.join(SRC, path), 'utf8')])))).toEqual(
      [],
    );
  });
});

/** What the checker says of sources that are given as `path: text`; files that are only imported need no text. */
const violationsIn = (sources: Readonly<Record<string, string>>): string[] =>
  findViolations(new Map(Object.entries(sources)));

describe('the checker', () => {
  test.each([
    ['import { a } from', "import { a } from '../broker/a.ts';"],
    ['import type', "import type { A } from '../broker/a.ts';"],
    ['a default import', "import a from '../broker/a.ts';"],
    ['a namespace import', "import * as a from '../broker/a.ts';"],
    ['an import for its side effect', "import '../broker/a.ts';"],
    ['export from', "export { a } from '../broker/a.ts';"],
    ['export type from', "export type { A } from '../broker/a.ts';"],
    ['export *', 'export * from "../broker/a.ts";'],
    ['an import over several lines', "import {\n  a,\n  // 'b'\n  type C,\n} from\n  '../broker/a.ts';"],
    ['a dynamic import', "const a = await import('../broker/a.ts');"],
    ['the type of an import', "type A = typeof import('../broker/a.ts').a;"],
    ['an import inside a template', `const a = \`x \${await import('../broker/a.ts')} y\`;`],
    ['an import after a regular expression with a quote', "const a = x.match(/['\"`]/);\nimport '../broker/a.ts';"],
    ['an import after a division', "const a = (1 + 2) / 3; import '../broker/a.ts'; const b = 1 / 2;"],
  ])('sees %s', (_, text) => {
    expect(violationsIn({ 'core/b.ts': text, 'broker/a.ts': '' })).toEqual([
      expect.stringMatching(/^src\/core\/b\.ts:\d+ imports '\.\.\/broker\/a\.ts': "core" may import only itself$/),
    ]);
  });

  test.each([
    ['a comment', "// import '../broker/a.ts';\n/* from '../broker/a.ts' */"],
    ['a string', 'const a = "import \'../broker/a.ts\'";'],
    ['a template', `const a = \`\nimport { a } from '../broker/a.ts';\n\${f({})} export * from '../broker/a.ts'\`;`],
    ['a regular expression', "const a = /import '..\\/broker\\/a.ts'/;"],
    ['a name', "const from = './a.ts'; f({ from: './a.ts' }); Array.from('./a.ts');"],
    ['a package', "import { a } from 'broker'; import fs from 'node:fs';"],
  ])('does not take what %s says for an import', (_, text) => {
    expect(violationsIn({ 'core/b.ts': text, 'broker/a.ts': '' })).toEqual([]);
  });

  test('names the file, the line, the import and the rule', () => {
    expect(violationsIn({ 'util/b.ts': "\n\nimport { a } from '../broker/a.ts';", 'broker/a.ts': '' })).toEqual([
      `src/util/b.ts:3 imports '../broker/a.ts': "util" may import only core`,
    ]);
  });

  test.each([
    ['executor/a.ts', 'protocol/b.ts'],
    ['core/a.ts', 'core/deep/b.ts'],
    ['sandbox/drivers/qemu/a.ts', 'sandbox/drivers/qemu/b.ts'],
    ['sandbox/drivers/qemu/a.ts', 'sandbox/driver.ts'],
    ['workcell/a.ts', 'sandbox/drivers/qemu/b.ts'],
    ['cli/main.ts', 'workcell/b.ts'],
    ['index.ts', 'http/b.ts'],
  ])('lets %s import %s', (from, to) => {
    expect(violationsIn({ [from]: importOf(from, to), [to]: '' })).toEqual([]);
  });

  test.each([
    ['selector/a.ts', 'util/b.ts'],
    ['http/a.ts', 'mcp/b.ts'],
    ['http/a.ts', 'sandbox/b.ts'],
    ['guest/a.ts', 'core/b.ts'],
    ['sandbox/drivers/qemu/a.ts', 'sandbox/drivers/bubblewrap/b.ts'],
    ['sandbox/drivers/qemu/a.ts', 'sandbox/server.ts'],
    ['sandbox/a.ts', 'sandbox/drivers/qemu/b.ts'],
    ['index.ts', 'cli/b.ts'],
    ['workcell/a.ts', 'index.ts'],
    ['http/a.ts', 'cli/b.ts'],
    ['drawer/a.ts', 'core/b.ts'],
    ['core/a.ts', 'drawer/b.ts'],
  ])('does not let %s import %s', (from, to) => {
    expect(violationsIn({ [from]: importOf(from, to), [to]: '' })).toHaveLength(1);
  });

  test.each(["import './b.ts';", "import './a';", "import './a.js';"])(
    'wants the file that is imported: %s',
    (text) => {
      expect(violationsIn({ 'core/c.ts': text, 'core/a.ts': '' })).toEqual([
        expect.stringContaining('there is no file'),
      ]);
    },
  );

  test('shows a cycle, also one of types only', () => {
    const sources = {
      'core/a.ts': "import './b.ts';",
      'core/b.ts': "import type { C } from './c.ts';",
      'core/c.ts': "export type { B } from './b.ts';",
    };
    expect(violationsIn(sources)).toEqual(['import cycle: src/core/b.ts → src/core/c.ts → src/core/b.ts']);
    expect(violationsIn({ 'core/a.ts': "import './a.ts';" })).toEqual(['import cycle: src/core/a.ts → src/core/a.ts']);
  });

  test('takes no diamond for a cycle', () => {
    const sources = {
      'core/a.ts': "import './b.ts'; import './c.ts';",
      'core/b.ts': "import './d.ts';",
      'core/c.ts': "import './d.ts';",
      'core/d.ts': '',
    };
    expect(violationsIn(sources)).toEqual([]);
  });

  test.each([
    'process.env.HOME',
    'process?.env',
    "process['env']",
    'process\n  .env["HOME"]',
    'globalThis.process.env',
    `\`\${process.env.HOME}\``,
    'const { env } = process;',
    "import { env } from 'node:process';",
    "import process from 'process';",
  ])('sees that this can read the environment: %s', (text) => {
    expect(violationsIn({ 'core/a.ts': text })).toEqual([
      expect.stringMatching(/^src\/core\/a\.ts:1 can read process\.env/),
    ]);
    expect(violationsIn({ 'config/a.ts': text, 'cli/a.ts': text })).toEqual([]);
  });

  test.each([
    'process.pid',
    'process.envelope',
    'process.exit(env)',
    '"process.env"',
    '// process.env',
    'const pid = process.pid',
    'this.#process = process;',
    'const process = start();',
  ])('does not think that this reads the environment: %s', (text) => {
    expect(violationsIn({ 'core/a.ts': text })).toEqual([]);
  });

  test('lets a file have 500 lines and no more', () => {
    const lines = (count: number): string => 'f();\n'.repeat(count);
    expect(violationsIn({ 'core/a.ts': lines(500) })).toEqual([]);
    expect(violationsIn({ 'core/a.ts': lines(501) })).toEqual([
      'src/core/a.ts has 501 lines: split what has more than 500',
    ]);
  });

  test.each(["const a = 'x", 'const a = `x'])('refuses to guess at what it cannot read: %s', (text) => {
    expect(() => tokenize(text)).toThrow('does not end');
  });
});

function importOf(from: string, to: string): string {
  const specifier = posix.relative(posix.dirname(from), to);
  return `import '${specifier.startsWith('.') ? specifier : `./${specifier}`}';`;
}
