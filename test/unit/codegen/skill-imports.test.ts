import { describe, expect, test } from 'vitest';
import { skillImports } from '../../../src/codegen/skill-imports.ts';

describe('skillImports()', () => {
  test.each<[string, readonly string[]]>([
    ["import { run } from 'skills/split-bill';", ['split-bill']],
    ["import a from 'skills/one';\nimport * as b from 'skills/two/help.ts';\nimport 'skills/one';", ['one', 'two']],
    ["import { a } from 'skills/../../etc';\nimport b from 'skills/';", []],
    ["import { a } from 'servers/skills';\nimport b from './skills/x';", []],
    ["return 'skills/none';", []],
    ["import { a } from 'skills/a'; const = 'broken", []],
  ])('finds in the TypeScript %j: %j', (source, names) => {
    expect(skillImports(source, 'typescript')).toEqual(names);
  });

  test.each<[string, readonly string[]]>([
    ['from skills.split_bill import run', ['split_bill', 'split-bill']],
    ['from skills import split_bill as s, tidy', ['split_bill', 'split-bill', 'tidy']],
    ['import skills.tidy.help', ['tidy']],
    ['from skills._3d_print import run', ['_3d_print', '3d-print']],
    ['from skills.import_ import run', ['import_', 'import']],
    ['def f():\n    from skills.late import run', ['late']],
    ['from servers.skills import a\nimport skills', []],
    ['x = "from skills.a import b"', []],
  ])('finds in the Python %j: %j', (source, names) => {
    expect(skillImports(source, 'python')).toEqual(names);
  });
});
