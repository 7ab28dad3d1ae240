import { describe, expect, test } from 'vitest';
import { CodeGenerator } from '../../../src/codegen/program.ts';
import { importedTools } from '../../../src/codegen/tool-imports.ts';
import { type ToolDescriptor, toolName } from '../../../src/core/tool.ts';

function tool(server: string, identifier: string): ToolDescriptor {
  return { kind: 'upstream', server, tool: `${identifier}_original`, identifier, description: '', inputSchema: {} };
}

const createEntities = tool('memory', 'createEntities');
const readGraph = tool('memory', 'readGraph');
const add = tool('calculator', 'add');
const tools = [readGraph, add, createEntities];

const sourceOf = async (body: string, given: readonly ToolDescriptor[] = tools) =>
  (await new CodeGenerator().compose({ tools: given, body })).source;

describe('compose()', () => {
  test('imports the given tools, one statement a server, above the body', async () => {
    expect(await sourceOf('return 1;')).toBe(
      "import { add } from 'servers/calculator';\nimport { createEntities, readGraph } from 'servers/memory';\n\nreturn 1;",
    );
  });

  test('leaves a body without tools as it is', async () => {
    expect(await sourceOf('return 1;', [])).toBe('return 1;');
  });

  test.each([
    ["import { add } from 'servers/calculator';", ['createEntities', 'readGraph']],
    ["import { add as plus } from 'servers/calculator';", ['createEntities', 'readGraph']],
    ["import { add } from 'servers/calculator/add';", ['createEntities', 'readGraph']],
    ["import * as memory from 'servers/memory';", ['add']],
    ["import { add } from './mine.ts';", ['createEntities', 'readGraph']],
    ['const add = 1;', ['createEntities', 'readGraph']],
    ['const { add,\n  other = 2 } = x;', ['createEntities', 'readGraph']],
    ['let sum\nsum = await add({})', ['add', 'createEntities', 'readGraph']],
    ['let sum\nawait add({})', ['add', 'createEntities', 'readGraph']],
    ['async function readGraph() {}', ['add', 'createEntities']],
    ['export class createEntities {}', ['add', 'readGraph']],
    ["// import { add } from 'servers/calculator';", ['add', 'createEntities', 'readGraph']],
    ["import type { add } from 'servers/calculator';", ['add', 'createEntities', 'readGraph']],
    ['// const add = 1;\nlog(add);', ['add', 'createEntities', 'readGraph']],
  ])('leaves to the body what it brings itself: %j', async (body, imported) => {
    const source = await sourceOf(body);
    const generated = source.slice(0, source.indexOf(body));
    expect(generated.match(/\b(?:add|createEntities|readGraph)\b/g)).toEqual(imported);
  });

  test('renames a tool whose identifier another server has taken', async () => {
    const twin = tool('graph-db', 'readGraph');
    expect(await sourceOf('', [readGraph, twin])).toBe(
      "import { readGraph as readGraphFromGraphDb } from 'servers/graph-db';\nimport { readGraph } from 'servers/memory';\n\n",
    );
  });

  test('imports a tool that is given twice once', async () => {
    expect(await sourceOf('', [add, add])).toBe("import { add } from 'servers/calculator';\n\n");
  });
});

describe('importedTools()', () => {
  test.each([
    ["import { add } from 'servers/calculator';", [add]],
    ['import { createEntities as c, unknown, type Other } from "servers/memory";', [createEntities]],
    ["import { readGraph } from 'servers/memory/readGraph';", [readGraph]],
    ["import read from 'servers/memory/readGraph.ts';", [readGraph]],
    ["import * as memory from 'servers/memory';", [readGraph, createEntities]],
    ["import memory from 'servers/memory';", [readGraph, createEntities]],
    ["import {\n  // the sum\n  add, /* c */\n} from 'servers/calculator'", [add]],
    ["import type { add } from 'servers/calculator';", []],
    ["import 'servers/calculator';", []],
    ["import { add } from 'servers/none';", []],
    ["import { add } from 'calculator';", []],
    ["const add = await import('servers/calculator');", []],
    ['const text = "import { add } from \'servers/calculator\'";', []],
    ["import { add } from 'servers/calculator'; {", []],
  ])('of %j', (body, expected) => {
    expect(importedTools(body, tools).map(toolName)).toEqual(expected.map(toolName));
  });
});
