import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CodeGenerator } from '../../../src/codegen/program.ts';
import { skillModule } from '../../../src/codegen/skill-module.ts';
import { transpile } from '../../../src/codegen/transpile.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let count = 0;

beforeAll(async () => {
  folder = await tempFolder();
});

afterAll(() => folder?.[Symbol.asyncDispose]());

/** What `body` gives that imports the skills of these programs. */
async function run(skills: Readonly<Record<string, string>>, body: string, description = ''): Promise<unknown> {
  const sources = new Map(
    Object.entries(skills).map(([name, program]) => [
      name,
      skillModule(program, description).files.get('index.ts') ?? '',
    ]),
  );
  const program = await new CodeGenerator().compose({ tools: [], body });
  const findModule = async (path: string) => {
    const source = sources.get(path);
    return source === undefined ? undefined : { scope: 'own' as const, path: `${path}/index.ts`, source };
  };
  const result = await transpile(program, { load: async () => undefined }, { findModule });
  if (!result.ok) throw new Error(result.error.stack);
  count += 1;
  const file = join(folder.path, `${count}.mjs`);
  await writeFile(file, result.code);
  const module: { default: unknown } = await import(/* @vite-ignore */ pathToFileURL(file).href);
  return module.default;
}

describe('a program that became a skill', () => {
  test.each<[string, string, unknown]>([
    ['returns what it returned', 'return 5;', 5],
    ['awaits', 'const x: number = await Promise.resolve(2);\nreturn x + 1;', 3],
    ['imports', "import { sep } from 'node:path';\n\nreturn sep;", '/'],
    ['imports anywhere, over several lines', "const a = sep;\nimport {\n  sep,\n} from 'node:path';\nreturn a;", '/'],
    ['uses all of TypeScript', 'enum A { X = 3 }\nclass B { constructor(readonly a: A) {} }\nreturn new B(A.X).a;', 3],
    ['exports types', 'export interface A { a: number }\nconst a: A = { a: 7 };\nreturn a.a;', 7],
    [
      'keeps the lines of a text',
      'const a = `\n  import { x } from "y";\n   b\n`;\nreturn a;',
      '\n  import { x } from "y";\n   b\n',
    ],
    ['returns nothing', 'const a = 1;', undefined],
    ['may be empty', '', undefined],
    ['may end in a comment', 'return 1; // one', 1],
    ['has a function of the same name in it', 'function run() { return 4; }\nreturn run();', 4],
  ])('%s', async (_, program, value) => {
    expect(await run({ a: program }, "import { run } from 'skills/a';\nreturn await run();")).toEqual(value);
  });

  test('starts anew with each call', async () => {
    const counter = 'let n = 0;\nn += 1;\nreturn n;';
    expect(await run({ a: counter }, "import { run } from 'skills/a';\nreturn [await run(), await run()];")).toEqual([
      1, 1,
    ]);
  });

  test('is built on another skill', async () => {
    const skills = {
      one: 'return 1;',
      two: "import { run } from 'skills/one';\nimport { run as run1 } from 'skills/one';\nreturn (await run()) + (await run1());",
    };
    expect(await run(skills, "import { run } from 'skills/two';\nreturn await run();")).toBe(2);
  });

  test('keeps its exports as they are', async () => {
    const program = 'export function double(n: number): number {\n  return 2 * n;\n}\nexport default double(4);\n';
    expect(skillModule(program, 'Doubles')).toEqual({
      files: new Map([['index.ts', program]]),
      exports: ['double', 'default'],
    });
    expect(await run({ a: program }, "import eight, { double } from 'skills/a';\nreturn [eight, double(1)];")).toEqual([
      8, 2,
    ]);
  });

  test('is described by what cannot end the comment', async () => {
    const description = 'Ends */ throw 1; /* it\u2028//\n@ts-nocheck `x`';
    const { files } = skillModule('return 1;', description);
    expect(files.get('index.ts')).toContain(' * Ends *\\/ throw 1; /* it\n * //\n * @ ts-nocheck');
    expect(await run({ a: 'return 1;' }, "import { run } from 'skills/a';\nreturn await run();", description)).toBe(1);
  });

  test('reads as a person would have written it', () => {
    const program =
      "import { divide } from 'servers/calculator';\n\nconst share = await divide({ a: 90, b: 3 });\nreturn share;\n";
    expect(
      skillModule(program, 'Splits a bill.').files.get('index.ts'),
    ).toBe(`import { divide } from 'servers/calculator';

/** Splits a bill. */
export async function run() {
const share = await divide({ a: 90, b: 3 });
return share;
}
`);
  });
});
