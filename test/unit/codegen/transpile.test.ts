import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CodeGenerator, type GeneratedProgram } from '../../../src/codegen/program.ts';
import { locateError } from '../../../src/codegen/source-positions.ts';
import { type TranspiledProgram, transpile } from '../../../src/codegen/transpile.ts';
import { renderIndex, renderWrapper } from '../../../src/codegen/wrapper.ts';
import type { ProgramError } from '../../../src/core/execution.ts';
import { PROGRAM_URL } from '../../../src/core/program-url.ts';
import type { ToolDescriptor } from '../../../src/core/tool.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const RUNTIME = Symbol.for('workcell.runtime');
const guest = globalThis as { [key: symbol]: unknown };

class ToolError extends Error {
  override readonly name = 'ToolError';
}

function tool(name: string, identifier: string): ToolDescriptor {
  return { kind: 'upstream', server: 'memory', tool: name, identifier, description: '', inputSchema: {} };
}

const memory = [tool('create_entities', 'createEntities'), tool('read_graph', 'readGraph'), tool('fail', 'fail')];

const files = new Map([
  ...memory.map((entry) => [`memory/${entry.identifier}.ts`, renderWrapper(entry)] as const),
  ['memory/index.ts', renderIndex(memory)],
  ['broken/index.ts', 'export const a = ;'],
  ['escaping/index.ts', "export * from '../../secret.ts';"],
]);

/** Reads the generated modules, and those of this repository. */
const modules = {
  load: async (path: string) => files.get(path) ?? (await readRepositoryFile(`servers/${path}`)),
};

let folder: TempFolder;

beforeAll(async () => {
  folder = await tempFolder();
  guest[RUNTIME] = {
    ToolError,
    callTool: async (server: string, name: string, input: unknown) => {
      if (name === 'fail') throw new ToolError('It failed');
      return { server, name, input };
    },
  };
});

afterAll(async () => {
  delete guest[RUNTIME];
  await folder[Symbol.asyncDispose]();
});

describe('a transpiled program', () => {
  test.each<[string, string, unknown]>([
    ['returns at the top level', 'return 5;', 5],
    ['awaits at the top level', 'const x: number = await Promise.resolve(2);\nreturn x + 1;', 3],
    ['gives its default export', 'const a = 1;\nexport default { a };', { a: 1 }],
    ['gives nothing', 'const a = 1;', undefined],
    ['may be empty', '', undefined],
    ['may end in a comment', 'return 1; // one', 1],
    ['uses TypeScript', 'enum A { X = 3 }\ninterface B { a: A }\nconst b: B = { a: A.X };\nreturn b!.a / 1;', 3],
    ['exports types beside its return', 'export interface A { a: number }\nexport type B = A;\nreturn 7;', 7],
    ['imports anywhere', "const a = sep;\nimport { sep } from 'node:path';\nreturn a;", '/'],
    ['imports what it does not use', "import { nothing } from 'no-such-package';\nreturn 1;", 1],
    [
      'calls a tool',
      'return await createEntities({ a: 1 });',
      { server: 'memory', name: 'create_entities', input: { a: 1 } },
    ],
    ['leaves out an input', 'return (await readGraph()).input;', {}],
    [
      'imports a tool itself',
      "import { readGraph as r } from 'servers/memory/readGraph';\nreturn (await r()).name;",
      'read_graph',
    ],
    ['imports a server', "import * as m from 'servers/memory';\nreturn (await m.readGraph()).name;", 'read_graph'],
    [
      'imports a server late',
      "const m = await import('servers/memory');\nreturn (await m.readGraph()).name;",
      'read_graph',
    ],
    [
      'calls a module tool',
      "import { evaluate } from 'servers/calculator';\nreturn evaluate({ expression: '5 + 3' });",
      8,
    ],
    [
      'knows ToolError',
      "import { ToolError } from 'servers/runtime';\ntry { await fail(); } catch (e) { return e instanceof ToolError; }",
      true,
    ],
    ['keeps a string with an import in it', "return `\nimport { a } from 'b';\n`;", "\nimport { a } from 'b';\n"],
  ])('%s', async (_, body, value) => {
    expect(await run(body)).toEqual(value);
  });

  test('holds only the wrappers that it uses', async () => {
    const { code } = await compile("import * as m from 'servers/memory';\nreturn m.readGraph();");
    expect(code).toContain('read_graph');
    expect(code).not.toContain('create_entities');
  });

  test('leaves every import but those of servers to the guest', async () => {
    const body = "import './a.ts';\nimport 'skills/b';\nimport 'node:fs';\nimport 'lodash';";
    const { code } = await compile(body);
    expect([...code.matchAll(/import "([^"]+)"/g)].map(([, name]) => name)).toEqual([
      './a.ts',
      'skills/b',
      'node:fs',
      'lodash',
    ]);
  });
});

describe('a program that cannot be transpiled', () => {
  test.each<[string, number | undefined, string]>([
    ['const a = 1;\nconst b = 3 3;', 2, 'Expected ";" but found "3"'],
    ['function f() {\n  return 1;\n', 3, 'Unexpected end of file'],
    ["import { readGraph } from 'servers/memory';\nreturn (;", 2, 'Unexpected ";"'],
    ['const a = 1;\nif (a)', 2, 'Unexpected end of the program'],
    ['return 1;\nexport const a = 2;', 1, 'Top-level return cannot be used inside an ECMAScript module'],
    [
      "const a = 1;\nimport { b } from 'servers/none/b';\nb;",
      2,
      'Cannot find module "servers/none/b": there is no such server or tool',
    ],
    ["import { a } from 'servers/../etc';\na;", 1, '"servers/../etc" leaves the folder of the servers'],
    ["import { a } from 'servers/escaping';\na;", undefined, '"../../secret.ts" leaves the folder of the servers'],
    ["import { a } from 'servers/broken';\na;", undefined, 'Unexpected ";"'],
    [
      "\nimport {\n  createEntitie } from 'servers/memory';\nreturn createEntitie();",
      3,
      'No matching export in "servers/memory/index.ts" for import "createEntitie". Did you mean to import "createEntities" instead?',
    ],
    [
      "import * as m from 'servers/memory';\nreturn m.nothing();",
      2,
      'Import "nothing" will always be undefined because there is no matching export in "servers/memory/index.ts"',
    ],
  ])('says where and why: %j', async (body, line, message) => {
    const error = await failure(body);
    expect({ line: error.line, message: error.message }).toEqual({ line, message });
  });

  test('shows the line and marks the place, whatever stands before it', async () => {
    const error = await failure('const a = 1;\nconst é = "😀"; let b = 3 3;');
    expect(error).toEqual({
      name: 'SyntaxError',
      message: 'Expected ";" but found "3"',
      line: 2,
      stack:
        'SyntaxError: Expected ";" but found "3"\n    at program.ts:2:27\n\n' +
        '    2 | const é = "😀"; let b = 3 3;\n      |                           ^',
    });
  });

  test('names the file when the fault is in a module of a server', async () => {
    const { stack } = await failure("import { a } from 'servers/broken';\na;");
    expect(stack).toContain('    at servers/broken/index.ts:1:18\n');
  });
});

describe('locateError()', () => {
  test('counts lines from the first of the body', async () => {
    const { error } = await thrown(
      "import { sep } from 'node:path';\n\nconst x: string = sep;\nthrow new TypeError('bad ' + x);",
    );
    expect(error).toEqual({
      name: 'TypeError',
      message: 'bad /',
      stack: 'TypeError: bad /\n    at program.ts:4:7',
      line: 4,
    });
  });

  test('follows functions, awaits and messages of several lines', async () => {
    const body =
      "function inner() {\n  throw new Error('one\\n    at two');\n}\nasync function outer() {\n  await null;\n  inner();\n}\nawait outer();";
    const { error } = await thrown(body);
    expect(error.stack).toBe(
      'Error: one\n    at two\n    at inner (program.ts:2:9)\n    at outer (program.ts:6:3)\n    at async program.ts:8:1',
    );
    expect(error.line).toBe(2);
  });

  test('shows bundled modules under servers/, and gives the line of the call', async () => {
    const { error } = await thrown(
      "import { divide } from 'servers/calculator';\nconst zero = 0;\nreturn await divide({ a: 1, b: zero });",
    );
    expect(error.stack).toMatch(
      /^ToolError: .*\n {4}at failure \(servers\/calculator\/lib\/checks\.ts:\d+:\d+\)\n {4}at divide \(servers\/calculator\/divide\.ts:6:\d+\)\n {4}at program\.ts:3:14$/,
    );
    expect(error.line).toBe(3);
  });

  test('works for a module with a default export', async () => {
    const { error } = await thrown("const f = () => {\n  throw new RangeError('r');\n};\nexport default f();");
    expect(error.stack).toBe('RangeError: r\n    at f (program.ts:2:9)\n    at program.ts:4:16');
  });

  test('leaves out the frames of the runner, keeps those of other code, and keeps the fields', async () => {
    const { program, transpiled } = await thrown('throw new Error("x");');
    const frames = [
      'at callTool (file:///opt/workcell/runner.mjs:10:5)',
      'at process.processTicksAndRejections (node:internal/process/task_queues:103:5)',
      'at help (file:///workspace/skills/tidy/index.ts:7:3)',
      'at async Promise.all (index 0)',
    ];
    const stack = ['ToolError: no', ...frames.map((frame) => `    ${frame}`)].join('\n');
    const fields = { server: 'memory', tool: 'fail', code: 'denied' };
    expect(locateError({ name: 'ToolError', message: 'no', stack, fields }, program, transpiled)).toEqual({
      name: 'ToolError',
      message: 'no',
      stack: 'ToolError: no\n    at help (skills/tidy/index.ts:7:3)\n    at async Promise.all (index 0)',
      fields,
    });
  });

  test('leaves out positions that are not in the code', async () => {
    const { program, transpiled } = await thrown('throw new Error("x");');
    const stack = `Error: x\n    at ${PROGRAM_URL}:99999:1\n    at f (${PROGRAM_URL}:0:0)`;
    expect(locateError({ name: 'Error', message: 'x', stack }, program, transpiled).line).toBeUndefined();
  });
});

async function compile(body: string): Promise<TranspiledProgram & { readonly program: GeneratedProgram }> {
  const program = await new CodeGenerator().compose({ tools: memory, body });
  const result = await transpile(program, modules);
  if (!result.ok) throw new Error(result.error.stack);
  return { ...result, program };
}

async function failure(body: string): Promise<ProgramError> {
  const result = await transpile(await new CodeGenerator().compose({ tools: [], body }), modules);
  if (result.ok) throw new Error(`It compiles: ${body}`);
  return result.error;
}

let count = 0;

async function write(code: string): Promise<string> {
  count += 1;
  const file = join(folder.path, `${count}.mjs`);
  await writeFile(file, code);
  return pathToFileURL(file).href;
}

async function run(body: string): Promise<unknown> {
  const { code } = await compile(body);
  const { default: value } = await import(/* @vite-ignore */ await write(code));
  return value;
}

/** Runs a module as a guest does, and prints what it throws. */
const GUEST = `
  class ToolError extends Error { name = 'ToolError'; constructor(init) { super(init.message); } }
  globalThis[Symbol.for('workcell.runtime')] = { ToolError, callTool: async () => null };
  const report = ({ name, message, stack }) => console.log(JSON.stringify({ name, message, stack }));
  import(process.argv[1]).then(() => console.log('{}'), report);
`;

/** What a program throws, as it is located. */
async function thrown(body: string) {
  const { program, ...transpiled } = await compile(body);
  const url = await write(transpiled.code);
  const { stdout } = await promisify(execFile)(process.execPath, ['--eval', GUEST, url]);
  const raw = JSON.parse(stdout.replaceAll(url, PROGRAM_URL));
  return { error: locateError(raw, program, transpiled), program, transpiled };
}

async function readRepositoryFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), 'utf8');
  } catch {
    return undefined;
  }
}
