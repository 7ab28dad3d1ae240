import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { skillPackage } from '../../../src/codegen/skill-package.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let count = 0;

beforeAll(async () => {
  folder = await tempFolder();
});

afterAll(() => folder?.[Symbol.asyncDispose]());

/** What the expression gives, after the import, in a program beside the package `skill` that was made of `program`. */
async function evaluate(
  program: string,
  importing: string,
  expression: string,
  description = 'Does it',
): Promise<unknown> {
  count += 1;
  const root = join(folder.path, String(count));
  await mkdir(join(root, 'skill'), { recursive: true });
  for (const [name, text] of skillPackage(program, description).files) await writeFile(join(root, 'skill', name), text);
  const main = `import json\n${importing}\nprint("value", json.dumps(${expression}))\n`;
  const said = execFileSync('python3', ['-c', main], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return JSON.parse(said.slice(said.lastIndexOf('value ') + 'value '.length));
}

const RUN = 'from skill import run';

describe('a Python program that became a skill', () => {
  test.each<[string, string, unknown]>([
    ['gives its result', 'result = 5', 5],
    ['gives what it emitted last', 'emit(1)\nemit(value=[2])\nresult = 3', [2]],
    ['gives nothing', 'a = 1', null],
    ['may be empty', '', null],
    ['imports, also all names', 'from math import *\nresult = floor(2.5)', 2],
    ['calls its own functions', 'def double(n):\n    return n * 2\n\nresult = double(4)', 8],
    ['changes its globals', 'n = 1\ndef grow():\n    global n\n    n += 1\ngrow()\nresult = n', 2],
    ['keeps the lines of a text', 'result = """\n  a\n b"""', '\n  a\n b'],
    ['is __main__', 'result = __name__', '__main__'],
    ['comes to its main block', 'def main():\n    emit(7)\n\nif __name__ == "__main__":\n    main()', 7],
    ['may end itself', 'import sys\nresult = 1\nsys.exit()\nresult = 2', 1],
    ['knows where it is', 'import os\nresult = os.path.basename(__file__)', 'program.py'],
  ])('%s', async (_, program, value) => {
    expect(await evaluate(program, RUN, 'run()')).toEqual(value);
  });

  test('starts anew with each call, and does nothing before', async () => {
    const program = 'print("ran")\nn = 0\nn += 1\nresult = n';
    expect(await evaluate(program, RUN, '[run(), run()]')).toEqual([1, 1]);
    expect(await evaluate('raise SystemError()', RUN, '1')).toBe(1);
  });

  test('fails as the program does, at its own lines', async () => {
    const caught =
      'import traceback\ndef tell():\n    try:\n        run()\n    except ValueError:\n        return traceback.format_exc()';
    expect(await evaluate('a = 1\nraise ValueError(a)', `${RUN}\n${caught}`, 'tell()')).toMatch(
      /skill\/program\.py", line 2, in <module>\n {4}raise ValueError\(a\)\n/,
    );
    await expect(evaluate('import sys\nsys.exit(3)', RUN, 'run()')).rejects.toMatchObject({ status: 3 });
  });

  test('is imported as it is when all that it does is define', async () => {
    const program =
      '"""Words"""\nfrom math import floor\n\n@staticmethod\ndef _own(): pass\n\n\nasync def later():\n    pass\n\n\ndef half(n):\n    result = n / 2; return floor(result)\n\n\nclass Half: pass\n';
    const code = skillPackage(program, 'Halves');
    expect(code).toEqual({ files: new Map([['__init__.py', program]]), exports: ['later', 'half', 'Half'] });
    expect(await evaluate(program, 'from skill import half', 'half(5)')).toBe(2);
  });

  test.each([
    'def f(): pass\nf()',
    'def f(): pass\nx = f()',
    'import os; os.getpid()\ndef f(): pass',
    'def _f(): pass',
    'import os',
  ])('is run as a whole when it does more: %j', (program) => {
    expect(skillPackage(program, '').exports).toEqual(['run']);
  });

  test.each(['Ends """ it', 'It\'s \\ "so"', '\\N{DASH} \\x41 {x} %s', 'ä 😀 漢', ''])(
    'is described as %j',
    async (description) => {
      const importing = 'import skill';
      expect(await evaluate('result = 1', importing, 'skill.__doc__', description)).toBe(description);
    },
  );
});
