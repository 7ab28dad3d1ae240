import { describe, expect, test } from 'vitest';
import { CodeGenerator } from '../../../src/codegen/program.ts';
import type { SkillModule } from '../../../src/codegen/skills-plugin.ts';
import { type TranspileResult, transpile } from '../../../src/codegen/transpile.ts';
import type { SkillScope } from '../../../src/core/skill.ts';

const FILES: Readonly<Record<SkillScope, Readonly<Record<string, string | null>>>> = {
  own: {
    'tidy/index.ts':
      "import { help } from './help.ts';\nimport data from './data.json' with { type: 'json' };\nexport const tidy = () => help() + data.own;",
    'tidy/help.ts': "export const help = () => 'own help';",
    'tidy/data.json': '{"own":"own data"}',
    'placed/index.ts':
      "import { readFileSync } from 'node:fs';\nexport const text = readFileSync(new URL('./a.txt', import.meta.url));",
    'uses-placed/index.ts': "export { text } from '../placed/index.ts';",
    'linked/index.ts': null,
    'wrong/index.ts': 'export const a = ;',
    'leaves/index.ts': "import '../../secret.ts';",
    'round/index.ts': "import { other } from 'skills/about';\nexport const round = () => other;",
    'about/index.ts':
      "import { round } from 'skills/round';\nexport const other = 'other';\nexport const back = () => round;",
    'late/index.ts': "export const late = () => import('./help.ts');",
    'fails/index.ts': "export function fail(): never {\n  throw new Error('x');\n}",
  },
  shared: {
    'tidy/index.ts': "export const tidy = 'shared tidy';",
    'deep/index.ts': "import { help } from './help.ts';\nexport const deep = help;",
    'deep/help.ts': "export const help = 'shared help';",
  },
};

let reads = 0;

async function findModule(path: string, scope?: SkillScope): Promise<SkillModule | undefined> {
  reads += 1;
  const [, number, bytes] = /^many-(\d+)-(\d+)$/.exec(path) ?? [];
  if (number !== undefined) {
    const next = Number(number) > 1 ? `import 'skills/many-${Number(number) - 1}-${bytes}';` : '';
    return { scope: 'own', path: `${path}/index.ts`, source: next.padEnd(Number(bytes), ' ') };
  }
  const scopes: SkillScope[] = scope === undefined ? ['own', 'shared'] : [scope];
  for (const each of scopes) {
    for (const file of [path, `${path}/index.ts`]) {
      const source = FILES[each][file];
      if (source !== undefined) return { scope: each, path: file, source };
    }
  }
  return undefined;
}

async function compile(body: string): Promise<TranspileResult> {
  const program = await new CodeGenerator().compose({ tools: [], body });
  return await transpile(program, { load: async () => undefined }, { findModule });
}

async function code(body: string): Promise<string> {
  const result = await compile(body);
  if (!result.ok) throw new Error(result.error.stack);
  return result.code;
}

describe('skills that a program imports', () => {
  test('come along with the files that they import', async () => {
    const bundle = await code("import { tidy } from 'skills/tidy';\nreturn tidy();");
    expect(bundle).toContain('own help');
    expect(bundle).toContain('own data');
    expect(bundle).not.toContain('shared tidy');
    expect(bundle).not.toMatch(/\bimport\b/);
  });

  test('find their own files, and not those of another of the same name', async () => {
    expect(await code("import { deep } from 'skills/deep';\nreturn deep;")).toContain('shared help');
  });

  test('may import one another', async () => {
    expect(await code("import { round } from 'skills/round';\nreturn round();")).toContain('"other"');
  });

  test.each([
    ['that need their own place', "import { text } from 'skills/placed';\nreturn text;", 'skills/placed/index.ts'],
    [
      'that a skill imports and that need their own place',
      "import { text } from 'skills/uses-placed';\nreturn text;",
      'skills/placed/index.ts',
    ],
    ['that the host cannot read', "import 'skills/linked';", 'skills/linked/index.ts'],
    ['that are imported late', "return await import('skills/tidy');", 'skills/tidy'],
    ['whose files are imported late', "import { late } from 'skills/late';\nreturn late();", 'skills/late/help.ts'],
  ])('are left to the guest: those %s', async (_, body, specifier) => {
    expect(await code(body)).toMatch(new RegExp(`(?:import|from)\\s*\\(?"${specifier.replaceAll('.', '\\.')}"`));
  });

  test.each([
    [
      "const a = 1;\nimport { b } from 'skills/none';\nb;",
      2,
      'Cannot find module "skills/none": there is no such skill, or no TypeScript in it',
    ],
    ["import { none } from 'skills/deep';\nnone;", 1, 'No matching export in "skills/deep/index.ts" for import "none"'],
    ["import 'skills/../../etc/passwd';", 1, '"skills/../../etc/passwd" leaves the folder of the skills'],
    ["import 'skills/wrong';", undefined, 'Unexpected ";"'],
    ["import 'skills/leaves';", undefined, '"../../secret.ts" leaves the folder of the skills'],
  ])('are reported when they cannot be: %s', async (body, line, message) => {
    const result = await compile(body);
    expect(result).toMatchObject({ ok: false, error: { message: expect.stringContaining(message) } });
    if (!result.ok) expect(result.error.line).toBe(line);
  });

  test('are named in errors as they are imported', async () => {
    const wrong = await compile("import 'skills/wrong';");
    expect(wrong).toMatchObject({ error: { stack: expect.stringContaining('\n    at skills/wrong/index.ts:1:18\n') } });
  });

  test.each([
    [100, 0, true],
    [101, 0, false],
    [4, 1024 * 1024, true],
    [5, 1024 * 1024, false],
  ])('are bundled up to 100 files and 4 Mi characters: %i of %i', async (count, bytes, fits) => {
    const result = await compile(`import 'skills/many-${count}-${bytes}';`);
    expect(result.ok).toBe(fits);
    if (!result.ok) expect(result.error.message).toContain('are over 100 files or 4194304 characters');
  });

  test('are read once, however often they are imported', async () => {
    reads = 0;
    await code(`${"import 'skills/deep';\nimport 'skills/x/../deep';\n".repeat(200)}`);
    expect(reads).toBe(2);
  });
});
