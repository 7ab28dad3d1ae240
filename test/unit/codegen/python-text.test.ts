import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { docstring, isPythonName, pythonComment, pythonString } from '../../../src/codegen/python-text.ts';

const TEXTS = [
  ...["it's", 'say "hi"', '"""', '""""', '"', '\\', '\\"', '\\"""', 'ends in \\', "'''", '{x}', '%s', ''],
  ...[
    'new\nline\r',
    '\u2028\u2029',
    '\u202eevil',
    '\0',
    '\ud800',
    '😀',
    '\u{e0001}',
    'é日本',
    '\t',
    '\x0c',
    '# type: ignore',
  ],
];

test('strings, docstrings and comments stay what they are, whatever they hold', () => {
  const program = [
    'import json',
    `strings = [${TEXTS.map(pythonString).join(', ')}]`,
    ...TEXTS.map(
      (text, index) => `def f${index}():\n${docstring([text, `${text}${text}`], '    ')}    return ${index}`,
    ),
    ...TEXTS.map((text) => pythonComment([text], '')),
    `assert [${TEXTS.map((_, index) => `f${index}()`).join(', ')}] == list(range(${TEXTS.length}))`,
    `docs = [${TEXTS.map((_, index) => `f${index}.__doc__`).join(', ')}]`,
    'print(json.dumps([strings, docs]))',
  ].join('\n');
  const { stdout, stderr } = spawnSync('python3', ['-'], { input: program, encoding: 'utf8' });
  expect(stderr).toBe('');
  const [strings, docs] = JSON.parse(stdout) as [string[], (string | null)[]];
  expect(strings).toEqual(TEXTS);
  expect(docs[TEXTS.indexOf('\\"""')]).toBe('\\"""\n\n    \\"""\\"""\n    ');
  expect(docs[TEXTS.indexOf('')]).toBeNull();
});

test('a string is one line of printable characters', () => {
  for (const text of TEXTS) expect(pythonString(text)).toMatch(/^'[\P{C}]*'$/u);
});

test('a comment cannot be taken for a directive', () => {
  expect(pythonComment(['type: ignore', 'a\n\nnoqa'], '  ')).toBe('  #: type: ignore\n  #:\n  #: a\n  #:\n  #: noqa\n');
  expect(pythonComment([' \n'], '')).toBe('');
});

test.each([
  ['name', true],
  ['_name', true],
  ['type', true],
  ['class', false],
  ['None', false],
  ['__x', false],
  ['1a', false],
  ['a-b', false],
  ['ñ', false],
  ['', false],
])('%j can be a parameter: %s', (name, can) => {
  expect(isPythonName(name)).toBe(can);
});
