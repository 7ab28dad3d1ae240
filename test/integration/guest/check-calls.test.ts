import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GeneratedTools, listed } from '../../support/generated-tools.ts';

const CHECK = fileURLToPath(new URL('../../../src/guest/program/check_calls.py', import.meta.url));

const string = { type: 'string' };
const integer = { type: 'integer' };
const object = (properties: object, required: readonly string[] = []) => ({
  type: 'object' as const,
  properties: { ...properties },
  required: [...required],
  additionalProperties: false,
});
const point = object({ x: { type: 'number' }, y: { type: 'number' }, label: string }, ['x', 'y']);
const node = object({ name: string, children: { type: 'array', items: { $ref: '#/$defs/node' } } }, ['name']);
const rules = { type: 'array', items: { $ref: '#/$defs/rule' } };
const rule = { anyOf: ['a', 'b', 'c'].map((name) => object({ some: rules, [name]: string }, ['some'])) };

const tools = [
  listed(
    'issue',
    object(
      {
        title: string,
        labels: { type: 'array', items: { enum: ['bug', 'chore'] } },
        number: integer,
        weight: { type: 'number' },
        urgent: { type: 'boolean' },
        due: { type: ['string', 'null'] },
        level: { enum: [1, 2, 'top'] },
        place: point,
        where: { anyOf: [string, point] },
        counts: { type: 'object', additionalProperties: integer },
        extra: {},
      },
      ['title'],
    ),
  ),
  listed('loose', { ...object({ title: string }, ['title']), additionalProperties: integer }),
  listed('odd', object({ 'first-name': string, age: integer }, ['first-name'])),
  listed('rule', { ...object({ rule: { $ref: '#/$defs/rule' } }, ['rule']), $defs: { rule } }),
  listed('tree', { ...object({ root: { $ref: '#/$defs/node' } }, ['root']), $defs: { node } }),
];

let generated: GeneratedTools;

beforeAll(async () => {
  generated = await GeneratedTools.write([{ server: 'my-tracker', tools }]);
  await generated.put(
    'servers/hand.py',
    'def hand(a, b: int = 1, *more: str, c: "Nowhere" = 1, **others: float): pass\n',
  );
});

afterAll(async () => {
  await generated?.[Symbol.asyncDispose]();
});

interface CheckError {
  readonly message: string;
  readonly stack: string;
  readonly line: number;
  readonly fields: { readonly diagnostics: readonly Diagnostic[] };
}

interface Diagnostic {
  readonly line: number;
  readonly column: number;
  readonly code: string;
  readonly message: string;
}

/** Of each program, in one process. */
function checkAll(programs: readonly string[], imports = IMPORTS): (CheckError | null)[] {
  const input = JSON.stringify(JSON.stringify({ programs, imports }));
  const output = generated.runPython(`import io, json, runpy
check = runpy.run_path(${JSON.stringify(CHECK)})["check_calls"]
given = json.loads(${input})
lines = lambda code: io.StringIO(code, newline=None).readlines()
print(json.dumps([check(code, given["imports"], lines(code)) for code in given["programs"]]))`);
  return JSON.parse(output) as (CheckError | null)[];
}

/** `line:column code: message` of each mistake in each program. */
function mistakes(programs: readonly string[], imports?: string): Record<string, readonly string[]> {
  const errors = checkAll(programs, imports);
  const texts = errors.map((error) =>
    (error?.fields.diagnostics ?? []).map(({ line, column, code, message }) => `${line}:${column} ${code}: ${message}`),
  );
  return Object.fromEntries(programs.map((program, index) => [program, texts[index] ?? []]));
}

const IMPORTS = 'from servers.my_tracker import issue, loose, odd, rule, tree';

describe('a call that is wrong whatever the data are', () => {
  it('is told, at its place and with what is wrong', () => {
    const expected: Record<string, readonly string[]> = Object.fromEntries([
      ['issue()', ["1:1 call-arg: issue() needs 'title', which is str"]],
      ['issue("a")', ['1:7 call-arg: issue() takes only named arguments']],
      ['issue(title="a", lables=[])', ["1:18 call-arg: issue() has no argument 'lables'; did you mean 'labels'?"]],
      ['issue(**{}, zzz=1)', ["1:13 call-arg: issue() has no argument 'zzz'"]],
      ['issue(title=7)', ['1:13 arg-type: title of issue() is 7, not str']],
      ['issue(title=None)', ['1:13 arg-type: title of issue() is None, not str']],
      ['issue(title=b"a")', ["1:13 arg-type: title of issue() is b'a', not str"]],
      ['issue(title=[each for each in x])', ['1:13 arg-type: title of issue() is a list, not str']],
      ['issue(title="a", number="1")', ["1:25 arg-type: number of issue() is '1', not Optional[int]"]],
      ['issue(title="a", number=1.5)', ['1:25 arg-type: number of issue() is 1.5, not Optional[int]']],
      ['issue(title="a", number=True)', ['1:25 arg-type: number of issue() is True, not Optional[int]']],
      ['issue(title="a", weight=f"{x}")', ['1:25 arg-type: weight of issue() is a str, not Optional[float]']],
      ['issue(title="a", urgent=1)', ['1:25 arg-type: urgent of issue() is 1, not Optional[bool]']],
      ['issue(title="a", due=0)', ['1:22 arg-type: due of issue() is 0, not Optional[str]']],
      ['issue(title="a", level=3)', ["1:24 arg-type: level of issue() is 3, not Optional[Literal[1, 2, 'top']]"]],
      ['issue(title="a", level=True)', ["1:24 arg-type: level of issue() is True, not Optional[Literal[1, 2, 'top']]"]],
      [
        'issue(title="a", labels="bug")',
        ["1:25 arg-type: labels of issue() is 'bug', not Optional[List[Literal['bug', 'chore']]]"],
      ],
      [
        'issue(title="a", labels=["bug", "bugs"])',
        ["1:33 arg-type: labels[1] of issue() is 'bugs', not Literal['bug', 'chore']"],
      ],
      [
        'issue(title="a", labels=("bug", x, 1))',
        ["1:36 arg-type: labels[2] of issue() is 1, not Literal['bug', 'chore']"],
      ],
      [
        'issue(title="a", labels={"bug"})',
        ["1:25 arg-type: labels of issue() is a set, not Optional[List[Literal['bug', 'chore']]]"],
      ],
      ['issue(title="a", place={"x": 1, "label": "p"})', ["1:24 arg-type: place of issue() lacks 'y', which is float"]],
      ['issue(title="a", place={"x": 1, "y": "2"})', ["1:38 arg-type: place['y'] of issue() is '2', not float"]],
      ['issue(title="a", where=5)', ['1:24 arg-type: where of issue() is 5, not Optional[Union[str, Where2]]']],
      ['issue(title="a", where={"x": 5})', ["1:24 arg-type: where of issue() lacks 'y', which is float"]],
      ['issue(title="a", counts={**x, "n": "1"})', ["1:36 arg-type: counts['n'] of issue() is '1', not int"]],
      ['loose(title="a", other="b")', ["1:24 arg-type: other of loose() is 'b', not int"]],
      ['odd()', ["1:1 call-arg: odd() needs 'input', which is OddInput"]],
      ['odd({"age": 1})', ["1:5 arg-type: input of odd() lacks 'first-name', which is str"]],
      ['odd({"first-name": "a"}, 1)', ['1:26 call-arg: odd() takes no more than 1 positional arguments']],
      [
        'odd(input={})',
        ["1:1 call-arg: odd() needs 'input', which is OddInput", "1:5 call-arg: odd() has no argument 'input'"],
      ],
      [
        'tree(root={"name": "a", "children": [{"name": 1}]})',
        ["1:47 arg-type: root['children'][0]['name'] of tree() is 1, not str"],
      ],
    ] satisfies [string, string[]][]);
    expect(mistakes(Object.keys(expected))).toEqual(expected);
  });

  it('is found however its tool is imported', () => {
    const programs = [
      'from servers.my_tracker import issue as make\nmake()',
      'import servers.my_tracker as t\nt.issue()',
      'import servers.my_tracker\nservers.my_tracker.issue()',
      'from servers import my_tracker\nmy_tracker.issue()',
      'from servers.my_tracker.issue import issue\nissue()',
      'def f():\n  from servers.my_tracker import issue\n  return issue()',
    ];
    const needed = [expect.stringMatching(/^[23]:\d+ call-arg: issue\(\) needs 'title', which is str$/)];
    expect(mistakes(programs, '')).toEqual(Object.fromEntries(programs.map((program) => [program, needed])));
    const generatedImport = 'async def f(x=1):\n  return [issue() for _ in range(3)]';
    expect(mistakes([generatedImport])).toEqual({ [generatedImport]: needed });
    const twice = `${IMPORTS}\nissue()`;
    expect(mistakes([twice])).toEqual({ [twice]: needed });
  });
});

it('a call of a function that was written by hand is compared with what its signature says', () => {
  const expected: Record<string, readonly string[]> = {
    'hand()': ["2:1 call-arg: hand() needs 'a', which is Any"],
    'hand(1, "2")': ["2:9 arg-type: b of hand() is '2', not int"],
    'hand(1, 2, 3)': ['2:12 arg-type: more of hand() is 3, not str'],
    'hand(1, a=2)': ["2:9 call-arg: hand() is given 'a' twice"],
    'hand(1, z=None)': ['2:11 arg-type: z of hand() is None, not float'],
    'hand(1, 2, "3", c=4, z=5)': [],
    'hand(*x, z=5)': [],
  };
  const programs = Object.keys(expected).map((call) => `from servers.hand import hand\n${call}`);
  expect(Object.values(mistakes(programs, ''))).toEqual(Object.values(expected));
});

describe('a call that may be right', () => {
  it('is let through', () => {
    const programs = [
      'issue(title="a", labels=["bug", x], number=-1, weight=2, urgent=False, due=None, level="top")',
      'issue(title=f"{x}", labels=None, number=2.0, weight=-1.5, level=1.0, place={"x": 1, "y": x})',
      'issue(title="a", place={**x}, where={"x": 1, "y": 2}, counts={"n": "1", **x}, extra=[{"any": b""}])',
      'issue(title="a", place={x: 1}, where="b", labels=[*x])',
      'issue(title=x if x else 7, labels=x or 1, number=int("1"))',
      'issue(**x)',
      'loose(title="a", other=1)',
      'odd({"first-name": "a", "age": 1, "further": 2})',
      'odd(*x)',
      'tree(root={"name": "a", "children": [{"name": "b", "children": []}]})',
      'print(issue)',
      'x.issue()',
    ];
    expect(Object.values(mistakes(programs)).flat()).toEqual([]);
  });

  it('because its name may stand for something else is let through', () => {
    const programs = [
      'def issue(): pass\nissue()',
      'issue = print\nissue()',
      'for issue in x: issue()',
      'def f(issue): issue()',
      'f = lambda issue: issue()',
      'class issue: pass\nissue()',
      'with x as issue: issue()',
      'try: pass\nexcept E as issue: issue()',
      'from other import issue\nissue()',
      'from other import *\nissue()',
      'from .servers.my_tracker import issue\nissue()',
      'from servers.nothing import issue\nissue()',
      'if (issue := x): issue()',
      'del issue\nissue()',
      'globals()["issue"] = print\nissue()',
      'import servers.my_tracker as t\nt.issue = print\nt.issue()',
      'import servers.my_tracker as t\nt.nothing()',
      'import servers.nothing as t\nt.issue()',
      'match x:\n  case [issue]: issue()',
      'match x:\n  case {"a": 1, **issue}: issue()',
    ];
    expect(Object.values(mistakes(programs)).flat()).toEqual([]);
  });
});

describe('the answer', () => {
  it('is one error with all mistakes, each at its line and column, and counts those that it does not show', () => {
    const code = `x = "ü"; issue(title=1)\r\n\tissue()`.replace('\t', 'if x:\r\n\t');
    const [error] = checkAll([code]);
    expect(error).toEqual({
      name: 'TypeCheckError',
      message: 'title of issue() is 1, not str (line 1; 1 more); nothing was run',
      line: 1,
      stack: `arg-type: title of issue() is 1, not str
    at program.py:1:22

    1 | x = "ü"; issue(title=1)
      |                      ^

call-arg: issue() needs 'title', which is str
    at program.py:3:2

    3 | \tissue()
      | \t^`,
      fields: {
        diagnostics: [
          { line: 1, column: 22, code: 'arg-type', message: 'title of issue() is 1, not str' },
          { line: 3, column: 2, code: 'call-arg', message: "issue() needs 'title', which is str" },
        ],
      },
    });
  });

  it.each([
    [1, ''],
    [10, ''],
    [11, '\n\nand 1 more'],
  ])('shows at most ten: of %i', (count, end) => {
    const [error] = checkAll(['issue()\n'.repeat(count)]);
    expect(error?.fields.diagnostics).toHaveLength(count);
    expect(error?.stack.match(/ {4}at program\.py/g)).toHaveLength(Math.min(count, 10));
    expect(error?.stack.endsWith(`${end === '' ? '^' : end}`)).toBe(true);
  });

  it('to a program without tools is that it is right', () => {
    expect(checkAll(['x()\nprint(1, 2, nothing=3)'])).toEqual([null]);
  });

  it('does not take long when a type has many forms within one another', () => {
    const deep = (depth: number): string => (depth === 0 ? '{"some": [1]}' : `{"some": [${deep(depth - 1)}]}`);
    const program = `rule(rule=${deep(30)})`;
    expect(mistakes([program])[program]).toEqual([expect.stringContaining('fits no form of')]);
  });
});
