import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CodeGenerator } from '../../../src/codegen/program.ts';
import { TypeChecker } from '../../../src/codegen/type-checker.ts';
import { renderIndex, renderWrapper } from '../../../src/codegen/wrapper.ts';
import type { ToolDescriptor } from '../../../src/core/tool.ts';
import { readTextIfExists } from '../../../src/util/atomic-file.ts';
import { descendantsNamed, eventually, isAlive } from '../../support/processes.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const object = (properties: Record<string, unknown>, required: string[]) => ({ type: 'object', properties, required });
const string = { type: 'string' };

function tool(server: string, identifier: string, inputSchema: object, outputSchema?: object): ToolDescriptor {
  const schemas = {
    inputSchema: { ...inputSchema },
    ...(outputSchema === undefined ? {} : { outputSchema: { ...outputSchema } }),
  };
  return { kind: 'upstream', server, tool: identifier, identifier, description: '', ...schemas };
}

const issues = [
  tool(
    'tracker',
    'createIssue',
    object({ title: string, labels: { type: 'array', items: { enum: ['bug', 'chore'] } } }, ['title']),
    object({ number: { type: 'integer' }, url: { type: ['string', 'null'] } }, ['number']),
  ),
  tool('tracker', 'search', object({ query: string }, ['query'])),
];

const files = new Map(issues.map((each) => [`tracker/${each.identifier}.ts`, renderWrapper(each)]));
files.set('tracker/index.ts', renderIndex(issues));

let checker: TypeChecker;
let folder: TempFolder;

beforeAll(async () => {
  folder = await tempFolder();
  const runtime = (await readTextIfExists(join(import.meta.dirname, '../../../servers/runtime.ts'))) ?? '';
  files.set('runtime.ts', runtime);
  checker = new TypeChecker({ load: async (path) => files.get(path) });
});

afterAll(async () => {
  await checker[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function check(body: string, tools = issues) {
  return checker.check(await new CodeGenerator().compose({ tools, body }));
}

/** `line:column code` of each mistake. */
async function mistakes(body: string): Promise<string[]> {
  const result = await check(body);
  if (!result.checked) throw new Error(result.reason);
  const found = (result.error?.fields?.['diagnostics'] ?? []) as { line: number; column: number; code: string }[];
  return found.map(({ line, column, code }) => `${line}:${column} ${code}`);
}

describe('a program that calls a tool wrongly', () => {
  it.each([
    ['an argument of another type', 'await createIssue({ title: 7 });', ['1:21 TS2322']],
    ['no argument', '\nawait createIssue();', ['2:7 TS2554']],
    ['a required argument left out', "await createIssue({ labels: ['bug'] });", ['1:19 TS2741']],
    ['a misspelt argument', "await createIssue({ title: 'a', lables: [] });", ['1:33 TS2561']],
    ['a value that is not in the list', "await createIssue({ title: 'a', labels: ['bugs'] });", ['1:42 TS2820']],
    ['what the result does not have', "const { id } = await createIssue({ title: 'a' });", ['1:9 TS2339']],
    ['a result that is not awaited', "return createIssue({ title: 'a' }).number;", ['1:36 TS2339']],
    [
      'two mistakes',
      "const é = '€';\nawait createIssue({ title: 1 });\n  search({ query: [] });",
      ['2:21 TS2322', '3:12 TS2322'],
    ],
  ])('is told of %s', async (_, body, expected) => {
    expect(await mistakes(body)).toEqual(expected);
  });

  it('is told where, with the line and the words of the compiler', async () => {
    const result = await check("// A comment\nawait createIssue({ title: 'a', labels: 'bug' });");
    expect(result).toMatchObject({
      checked: true,
      error: {
        name: 'TypeCheckError',
        line: 2,
        message: expect.stringMatching(/^Type 'string' is not assignable to type .*\(line 2\); nothing was run$/),
        stack: expect.stringContaining(
          "at program.ts:2:33\n\n    2 | await createIssue({ title: 'a', labels: 'bug' });\n      |                                 ^",
        ),
      },
    });
  });

  it('is told of its own imports, and of tools with the same name in one program', async () => {
    expect(
      await mistakes("import { createIssue as make } from 'servers/tracker';\nawait make({ name: 'a' });"),
    ).toEqual(['2:14 TS2353']);
  });
});

describe('a program that may run', () => {
  it.each([
    [
      'right calls',
      "const { number, url } = await createIssue({ title: 'a', labels: ['bug'] });\nreturn url.length + number;",
    ],
    [
      'a result without a schema',
      "const found = await search({ query: 'a' });\nreturn found.items.map((item) => item.id);",
    ],
    ['loose JavaScript', 'const o = {}; o.x = 1; const a = []; a.push(1); const f = (p) => p.q; return f(a[0]) ?? o;'],
    [
      'errors of any kind',
      "import { ToolError } from 'servers/runtime';\ntry { await search({ query: '' }) } catch (e) { return e instanceof ToolError ? e.code : e.stack }",
    ],
    [
      'Node',
      "import { readFile } from 'node:fs/promises';\nreturn [await readFile('a', 'utf8'), process.pid, Buffer.from(''), fetch, structuredClone({})]",
    ],
    [
      'modules of the sandbox',
      "import lodash from 'lodash';\nimport { helper } from './helper.ts';\nimport { run } from 'skills/report';\nreturn lodash.map(helper(run()))",
    ],
    ['no tools', 'return 1'],
    ['a module of its own', "export default await createIssue({ title: 'a' });"],
  ])('has %s', async (_, body) => {
    expect(await mistakes(body)).toEqual([]);
  });
});

describe('the compiler', () => {
  it('reads no file of the host, whatever the program names', async () => {
    const secret = join(folder.path, 'secret.ts');
    await writeFile(secret, 'export const password: "hunter2" = "hunter2";');
    for (const body of [
      `import { password } from '${secret}';\nconst n: number = password;`,
      `/// <reference path="${secret}" />\nconst n: number = (await import('${secret}')).password;`,
      `import { password } from 'servers/../../../..${secret}';\nconst n: number = password;`,
      `type T = typeof import('/proc/self/environ');`,
    ]) {
      const result = await check(body);
      expect(JSON.stringify(result)).not.toContain('hunter2');
      expect(result).toMatchObject({ checked: true });
    }
  });

  it('sees a wrapper that has changed, and one that is new', async () => {
    expect(await mistakes("import { later } from 'servers/later';\nawait later({ a: 1 });")).toEqual([]);
    const tools = [tool('later', 'later', object({ a: string }, ['a']))];
    for (const each of tools) files.set('later/later.ts', renderWrapper(each));
    files.set('later/index.ts', renderIndex(tools));
    expect(await mistakes("import { later } from 'servers/later';\nawait later({ a: 1 });")).toEqual(['2:15 TS2322']);
    files.set('later/later.ts', renderWrapper(tool('later', 'later', object({ a: { type: 'number' } }, ['a']))));
    expect(await mistakes("import { later } from 'servers/later';\nawait later({ a: 1 });")).toEqual([]);
  });

  it('checks programs that come at the same time, each by itself', async () => {
    const bodies = Array.from({ length: 20 }, (_, index) => `${'\n'.repeat(index)}await createIssue({ title: 1 });`);
    expect(await Promise.all(bodies.map(mistakes))).toEqual(bodies.map((_, index) => [`${index + 1}:21 TS2322`]));
  });

  it('is started anew when its process is gone, and leaves none behind', async () => {
    expect(await mistakes('return 1')).toEqual([]);
    const [compiler = 0] = await descendantsNamed('tsc');
    process.kill(compiler, 'SIGKILL');
    await eventually(() => !isAlive(compiler));
    const after = await check('return 1');
    expect(after.checked || /not type-checked/.test(after.reason)).toBe(true);
    expect(await mistakes('await createIssue({ title: 1 });')).toEqual(['1:21 TS2322']);
    await checker[Symbol.asyncDispose]();
    await eventually(async () => (await descendantsNamed('tsc')).length === 0);
  });

  it('is not started again for checks that come when it has been closed', async () => {
    const closed = new TypeChecker({ load: async (path) => files.get(path) });
    const program = await new CodeGenerator().compose({ tools: issues, body: 'return 1' });
    const under = [closed.check(program), closed.check(program)];
    await closed[Symbol.asyncDispose]();
    for (const each of [...under, closed.check(program)]) expect(await each).toMatchObject({ checked: false });
    await eventually(async () => (await descendantsNamed('tsc')).length === 0);
  });
});
