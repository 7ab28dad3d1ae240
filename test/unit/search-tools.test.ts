import { expect, test } from 'vitest';
import { estimateTokens } from '../../src/core/token-estimate.ts';
import { type ToolDescriptor, toolName } from '../../src/core/tool.ts';
import { ToolSelector } from '../../src/selector/tool-selector.ts';
import { searchTools, type ToolSearchOptions } from '../../src/workcell/search-tools.ts';

const PATH = { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] };
const tools: readonly ToolDescriptor[] = [
  tool('read_file', 'Read a file. It must be text; e.g. a program.', PATH),
  tool('write_file', `Write a file ${'very '.repeat(40)}carefully`, PATH),
  tool('delete_file', '', PATH),
];

const sources = {
  catalog: {
    list: () => tools,
    get: (name: string) => tools.find((each) => toolName(each) === name) ?? tool('none', '', {}),
  },
  selector: new ToolSelector(tools),
};

const search = (queries: readonly string[], options: ToolSearchOptions = {}) => searchTools(queries, options, sources);

test('a summary is one line: the name and the first sentence, cut when it is long', async () => {
  const { hits, mode, considered, leftOut } = await search(['file']);
  const texts = Object.fromEntries(hits.map((hit) => [hit.tool, hit.text]));
  expect({ mode, considered, leftOut }).toEqual({ mode: 'lexical', considered: 3, leftOut: [] });
  expect(texts).toEqual({
    read_file: 'disk.read_file: Read a file.',
    write_file: expect.stringMatching(/^disk\.write_file: Write a file very .*…$/),
    delete_file: 'disk.delete_file',
  });
  expect(texts['write_file']?.length).toBeLessThanOrEqual('disk.write_file: '.length + 120);
});

test('a summary has no characters that a reader does not see', async () => {
  const hidden = tool('show', 'Show\u001b[2J a\u202e file\u{e0041}. More', PATH);
  const { hits } = await searchTools(
    ['show'],
    {},
    { catalog: { list: () => [hidden], get: () => hidden }, selector: new ToolSelector([hidden]) },
  );
  expect(hits.map(({ text }) => text)).toEqual(['disk.show: Show[2J a file.']);
});

test('names are names, and a full definition is what a program has to know', async () => {
  expect((await search(['read file'], { detail: 'names', limit: 1 })).hits[0]?.text).toBe('disk.read_file');
  const [hit] = (await search(['read file'], { detail: 'full', limit: 1 })).hits;
  expect(hit?.text).toMatch(/^\/\/ import \{ read_file \} from 'servers\/disk'\ntype /);
  expect(hit?.text).toContain('path: string;');
  expect(hit?.text).toMatch(/function read_file\(input: \w+\): Promise<\w+>;$/);
  expect(hit?.text).not.toContain('callTool');
});

test('definitions are in the language that is asked for; of a tool that it cannot call there is only a summary', async () => {
  const python = tools.map((each) => ({ ...each, server: 'my-disk', pythonIdentifier: each.identifier }));
  const catalog = {
    list: () => python,
    get: (name: string) => python.find((each) => toolName(each) === name) ?? tool('none', '', {}),
  };
  const options = { detail: 'full', language: 'python', limit: 1 } as const;
  const found = await searchTools(['read file'], options, { catalog, selector: new ToolSelector(python) });
  expect(found.hits[0]?.text).toMatch(/^# from servers\.my_disk import read_file\n/);
  expect(found.hits[0]?.text).toContain('def read_file(');
  expect((await search(['read file'], options)).hits[0]).toMatchObject({ detail: 'summaries' });
});

test('a definition that does not fit gives way to its summary, and what does not fit at all is named', async () => {
  const whole = await search(['file'], { detail: 'full' });
  expect(whole.hits.map(({ detail }) => detail)).toEqual(['full', 'full', 'full']);
  expect(whole.tokens).toBe(whole.hits.reduce((sum, { text }) => sum + estimateTokens(text), 0));

  const same = await search(['file'], { detail: 'full', maxTokens: whole.tokens });
  expect(same).toEqual(whole);
  const less = await search(['file'], { detail: 'full', maxTokens: whole.tokens - 1 });
  expect(less.hits.map(({ detail }) => detail)).toEqual(['full', 'full', 'summaries']);
  expect(less.tokens).toBeLessThan(whole.tokens);

  const none = await search(['file'], { detail: 'full', maxTokens: 1 });
  expect(none).toMatchObject({ hits: [], tokens: 0 });
  expect(none.leftOut.toSorted()).toEqual(['disk.delete_file', 'disk.read_file', 'disk.write_file']);
});

test('several queries take turns', async () => {
  const { hits } = await search(['delete', 'write'], { limit: 2, detail: 'names' });
  expect(hits.map(({ text }) => text)).toEqual(['disk.delete_file', 'disk.write_file']);
});

test.each([0, 21])('%d queries are refused', async (count) => {
  await expect(search(Array.from({ length: count }, () => 'file'))).rejects.toMatchObject({ code: 'invalid_argument' });
});

test.each([1, 20])('%d queries are answered', async (count) => {
  expect((await search(Array.from({ length: count }, () => 'file'))).hits).toHaveLength(3);
});

function tool(name: string, description: string, inputSchema: object): ToolDescriptor {
  return {
    kind: 'upstream',
    server: 'disk',
    tool: name,
    identifier: name,
    description,
    inputSchema: { ...inputSchema },
  };
}
