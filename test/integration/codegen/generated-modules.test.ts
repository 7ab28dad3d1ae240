import { describe, expect, it } from 'vitest';
import type { ServerListing } from '../../../src/catalog/write-server.ts';
import { assignIdentifiers, pascalCase } from '../../../src/codegen/identifiers.ts';
import { UpstreamHub } from '../../../src/upstream/upstream-hub.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { dataSetListings } from '../../support/data-set-listings.ts';
import { GeneratedTools, listed } from '../../support/generated-tools.ts';
import { officialServers } from '../../support/mcp-servers.ts';
import { NASTY, randomTools } from '../../support/random-schema.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { SCHEMA_SAMPLES } from '../../support/tool-schemas.ts';
import { Random } from '../../unit/random.ts';

const samples: ServerListing = {
  server: 'samples',
  tools: SCHEMA_SAMPLES.map(({ schema }, index) => listed(`sample-${index}`, schema, { outputSchema: schema })),
};

async function expectToCompile(listings: readonly ServerListing[]): Promise<void> {
  await using generated = await GeneratedTools.write(listings);
  expect(generated.pythonProblems()).toEqual([]);
  expect(await generated.typeErrors()).toEqual([]);
}

describe('the modules of tools, in both languages', () => {
  it('compile for every tool of the official servers', async () => {
    await using folder = await tempFolder();
    const servers = officialServers(folder.path);
    await using hub = new UpstreamHub({ servers });
    using deadline = new Deadline('Reading the tools', 120_000);
    const listings = await Promise.all(
      Object.keys(servers).map(async (server) => ({ server, tools: await hub.listTools(server, deadline) })),
    );
    expect(listings.flatMap(({ tools }) => tools).length).toBeGreaterThan(30);
    await expectToCompile(listings);
  });

  it('compile for whatever a server sends', async () => {
    await expectToCompile(
      [11, 12, 13].map((seed) => ({ server: `random-${seed}`, tools: randomTools(new Random(seed), 200) })),
    );
  });

  it('compile for names that collide, are cut, or mean something in a language', async () => {
    const names = [
      ...NASTY,
      ...[
        'get-thing',
        'getThing',
        'get_thing',
        'GET THING',
        '1st',
        'class',
        'a.b',
        'a/b',
        'print',
        'list',
        'index',
        'None',
      ],
      ...['__init__', 'runtime', 'call_tool', 'result', 'emit', 'import', 'lambda', 'await', 'x'.repeat(300), 'ü', 'u'],
    ].filter((name) => name !== '');
    const description = 'Three """ quotes, a \\ and \\""" and */ and \u2028 and \0 and a last "';
    const schema = { properties: { value: { enum: ["it's", '"', '\\', '\n', '"""'], default: '"""', description } } };
    const tools = [...new Set(names)].map((name) => listed(name, schema, { description }));
    await expectToCompile(['my-server', '1st', 'class'].map((server) => ({ server, description, tools })));
  });

  it('are judged by checks that see what is broken', async () => {
    await using generated = await GeneratedTools.write([samples]);
    await generated.put('servers/samples/wrong.ts', 'export const wrong: string = 1;\n');
    await generated.put('servers/samples/syntax.py', 'def syntax(:\n');
    await generated.put('servers/samples/hint.py', 'from __future__ import annotations\ndef hint(a: Nothing): ...\n');
    expect(await generated.typeErrors()).toEqual([expect.stringContaining('wrong.ts(1,14): error TS2322')]);
    expect(generated.pythonProblems()).toEqual([
      expect.stringContaining('samples/hint.py'),
      expect.stringMatching(/samples\/syntax\.py: SyntaxError/),
    ]);
  });

  // The variable names a folder with metatool/, seal-tools/, mcpproxy/ and bfcl/, as their projects publish them.
  it.runIf(process.env['WORKCELL_TOOL_DATA'] !== undefined)(
    'compile for every tool of the data sets',
    async () => {
      const listings = dataSetListings(process.env['WORKCELL_TOOL_DATA'] ?? '');
      expect(listings.flatMap(({ tools }) => tools).length).toBeGreaterThan(4_500);
      await expectToCompile(listings);
    },
    600_000,
  );
});

describe('a type', () => {
  const identifiers = assignIdentifiers(samples.tools.map(({ tool }) => tool));
  const statement = (index: number, value: unknown) => {
    const type = `${pascalCase(identifiers.get(`sample-${index}`) ?? '')}Input`;
    return `((_: import('./servers/samples/index.ts').${type}) => {})(${JSON.stringify(value)});\n`;
  };

  it('takes what the schema allows, and refuses what it does not', async () => {
    await using generated = await GeneratedTools.write([samples]);
    const values = SCHEMA_SAMPLES.flatMap(({ name, valid, invalid }, index) => [
      ...valid.map((value) => ({ name, value, text: statement(index, value), expected: 'taken' })),
      ...invalid.map((value) => ({ name, value, text: statement(index, value), expected: 'refused' })),
    ]);
    await generated.put('truth.ts', values.map(({ text }) => text).join(''));
    const lines = (await generated.typeErrors()).flatMap((error) => /^truth\.ts\((\d+),/.exec(error)?.[1] ?? []);
    const judged = values.map(({ name, value }, index) => ({
      name,
      value,
      expected: lines.includes(String(index + 1)) ? 'refused' : 'taken',
    }));
    expect(judged).toEqual(values.map(({ name, value, expected }) => ({ name, value, expected })));
  });

  it('in Python compiles and resolves, and the call sends what was given', async () => {
    await using generated = await GeneratedTools.write([samples]);
    expect(generated.pythonProblems()).toEqual([]);
    expect(await generated.typeErrors()).toEqual([]);
  });
});

describe('a function in Python', () => {
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string' },
      limit: { type: 'integer' },
      parent: { type: ['string', 'null'] },
    },
    required: ['name'],
  };
  const tools = [
    listed('find-thing', schema),
    listed('open', { ...schema, additionalProperties: { type: 'number' } }),
    listed('odd', { properties: { 'a-b': { type: 'string' } } }),
    listed('none', { type: 'object', properties: {} }),
  ];

  it.each([
    ["find_thing(name='x')", "('my-server', 'find-thing', {'name': 'x'})"],
    ["find_thing(name='x', limit=None, parent=None)", "('my-server', 'find-thing', {'name': 'x', 'parent': None})"],
    ["find_thing(name='x', limit=0)", "('my-server', 'find-thing', {'name': 'x', 'limit': 0})"],
    ["open_(name='x', more=1)", "('my-server', 'open', {'name': 'x', 'more': 1})"],
    ["odd({'a-b': 'c'})", "('my-server', 'odd', {'a-b': 'c'})"],
    ['odd()', "('my-server', 'odd', {})"],
    ['none()', "('my-server', 'none', {})"],
    ['find_thing()', "TypeError: find_thing() missing 1 required keyword-only argument: 'name'"],
    ["find_thing('x')", 'TypeError: find_thing() takes 0 positional arguments but 1 was given'],
    ["find_thing(name='x', nmae='y')", "TypeError: find_thing() got an unexpected keyword argument 'nmae'"],
  ])('called as %s gives %s', async (call, result) => {
    await using generated = await GeneratedTools.write([{ server: 'my-server', tools }]);
    expect(generated.runPython(`from servers.my_server import *\nprint(${call})`)).toContain(result);
  });

  it('is what the package gives, whether its module was imported before or not', async () => {
    await using generated = await GeneratedTools.write([{ server: 'my-server', tools }]);
    const program = `
import sys
import servers.my_server
assert not [name for name in sys.modules if name.startswith('servers.my_server.')], 'loads more than is used'
from servers.my_server.find_thing import FindThingOutput
from servers.my_server import find_thing, FindThingOutput as same
assert same is FindThingOutput
print(callable(find_thing), callable(servers.my_server.find_thing), [n for n in sys.modules if n.startswith('servers.my_server.')])
try:
    from servers.my_server import nothing
except ImportError as error:
    print(error)
`;
    const printed = generated.runPython(program);
    expect(printed).toContain("True True ['servers.my_server.find_thing']");
    expect(printed).toContain("cannot import name 'nothing' from 'servers.my_server'");
  });
});
