import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { SelectedTool } from '../../../src/core/selection.ts';
import { type ToolDescriptor, toolName } from '../../../src/core/tool.ts';
import { ToolSelector } from '../../../src/selector/tool-selector.ts';

function tool(server: string, name: string, description: string, properties: object = {}): ToolDescriptor {
  const inputSchema = { type: 'object', properties };
  return { kind: 'upstream', server, tool: name, identifier: name, description, inputSchema };
}

const calculator: ToolDescriptor[] = JSON.parse(
  readFileSync(new URL('../../../servers/calculator/manifest.json', import.meta.url), 'utf8'),
).tools.map((entry: object) => ({ kind: 'module', server: 'calculator', ...entry }));

const text = { type: 'string' };

const tools = [
  ...calculator,
  tool('memory', 'create_entities', 'Create multiple new entities in the knowledge graph'),
  tool('memory', 'create_relations', 'Create relations between entities in the knowledge graph'),
  tool('memory', 'delete_entities', 'Delete entities and their relations from the knowledge graph'),
  tool('memory', 'read_graph', 'Read the entire knowledge graph'),
  tool('memory', 'search_nodes', 'Search for nodes in the knowledge graph based on a query', { query: text }),
  tool('filesystem', 'read_file', 'Read the complete contents of a file', { path: text }),
  tool('filesystem', 'write_file', 'Create a new file or overwrite an existing file', { path: text, content: text }),
  tool('filesystem', 'list_directory', 'List the files and folders in a path', { path: text }),
  tool('filesystem', 'search_files', 'Search for files that match a pattern', { path: text, pattern: text }),
  tool('web', 'HTTPFetch', 'Download a page from the internet', {
    request: { type: 'object', properties: { verb: { enum: ['GET', 'POST'] }, gzip: { description: 'Compressed' } } },
  }),
];

const selector = new ToolSelector(tools);
const names = (selected: readonly SelectedTool[]) => selected.map(toolName);

describe('select()', () => {
  test.each([
    ['Calculate 5 + 3', 'calculator.evaluate'],
    ['What is 12 * (3 + 4)?', 'calculator.evaluate'],
    ['What is 10/4?', 'calculator.evaluate'],
    ['Add 5 and 3', 'calculator.add'],
    ['what is 7 plus 5', 'calculator.add'],
    ['What is 10 minus 4?', 'calculator.subtract'],
    ['6 times 7', 'calculator.multiply'],
    ['Divide 10 by 4', 'calculator.divide'],
    ['Search for nodes about "Alice"', 'memory.search_nodes'],
    ['Search for nodes about "how to delete a file"', 'memory.search_nodes'],
    ['please show me the folders under /tmp', 'filesystem.list_directory'],
    ['I want to make a few entities', 'memory.create_entities'],
    ['fetch over http', 'web.HTTPFetch'],
    ['a gzip download', 'web.HTTPFetch'],
  ])('puts the right tool first for %j', async (task, expected) => {
    const { mode, considered, tools: selected, noMatch } = await selector.select(task);
    expect({ mode, considered, first: names(selected)[0], noMatch }).toEqual({
      mode: 'lexical',
      considered: tools.length,
      first: expected,
      noMatch: null,
    });
  });

  test('selects a tool for each of two intents', async () => {
    const { tools: selected } = await selector.select('Read the file notes.txt and create entities for its people');
    expect(names(selected).slice(0, 3).sort()).toEqual(
      expect.arrayContaining(['filesystem.read_file', 'memory.create_entities']),
    );
  });

  test.each([
    'What is the weather in Paris tomorrow?',
    'Book a flight to Berlin',
    'Order a pizza',
    'What happened on 11/05, 24/7 or 3-4 July?',
    'Translate "create entities" to French',
    'please help me, I want it',
    '',
  ])('selects nothing for %j', async (task) => {
    const { tools: selected, noMatch } = await selector.select(task);
    expect({ selected, noMatch }).toEqual({
      selected: [],
      noMatch: { reason: `None of the ${tools.length} tools mentions any word of the task`, nearMisses: [] },
    });
  });

  test('names up to three near misses when the best tool stays below the threshold', async () => {
    const task = 'Which old village on a narrow path sells a page of stories, a graph and a file?';
    const { tools: selected, noMatch } = await selector.select(task, { threshold: 0.9 });
    expect(selected).toEqual([]);
    expect(noMatch?.reason).toMatch(/^The nearest of 15 tools, "\w+\.\w+", scores 0\.\d\d and 0\.90 is needed$/);
    expect(noMatch?.nearMisses).toHaveLength(3);
  });

  test('holds the best tool against the threshold: below, at and above', async () => {
    const task = 'Read the file';
    const [best] = await selector.search(task);
    const score = best?.score ?? 0;
    expect(score).toBeGreaterThan(0.1);
    const first = async (threshold: number) => names((await selector.select(task, { threshold })).tools)[0];
    expect(await first(score - 0.001)).toBe('filesystem.read_file');
    expect(await first(score)).toBe('filesystem.read_file');
    expect(await first(score + 0.001)).toBeUndefined();
  });

  test('selects up to the limit', async () => {
    const task = 'the knowledge graph';
    const counts = await Promise.all(
      [1, 3, 5].map(async (limit) => (await selector.select(task, { limit })).tools.length),
    );
    expect(counts).toEqual([1, 3, 5]);
    expect((await selector.select(task)).tools).toHaveLength(5);
  });

  test('leaves out tools that score less than a third of the best', async () => {
    const ranked = await selector.search('Search for nodes about "Alice"');
    const { tools: selected } = await selector.select('Search for nodes about "Alice"');
    const best = ranked[0]?.score ?? 0;
    expect(selected).toEqual(ranked.filter(({ score }) => score >= best / 3).slice(0, 5));
    expect(selected.length).toBeLessThan(ranked.length);
  });

  test('says that there are no tools', async () => {
    const { considered, noMatch } = await new ToolSelector([]).select('Add 5 and 3');
    expect({ considered, noMatch }).toEqual({
      considered: 0,
      noMatch: { reason: 'There are no tools to choose from', nearMisses: [] },
    });
  });
});

describe('search()', () => {
  test.each(['memory.create_entities', 'create_entities', 'createEntities', 'create-entities', 'Use createEntities.'])(
    'finds the tool that %j names first',
    async (query) => {
      const [first] = await selector.search(query);
      expect(first).toEqual({ server: 'memory', tool: 'create_entities', score: 1, reasons: ['named in the task'] });
    },
  );

  test('takes a plain word for a name only when it is the whole query', async () => {
    const [whole] = await selector.search('add');
    const [part] = await selector.search('add a relation');
    expect(whole?.reasons).toEqual(['named in the task']);
    expect(part?.reasons).not.toEqual(['named in the task']);
  });

  test('says what matched, and what a synonym stands for', async () => {
    const [first] = await selector.search('look up nodes in the graph');
    expect(first).toMatchObject({ tool: 'search_nodes' });
    expect(first?.reasons).toEqual(['name: nodes, search (look)', 'description: graph, query (look)']);
  });

  test('gives scores between 0 and 1, best first, up to the limit', async () => {
    const found = await selector.search('create and read a file with entities', { limit: 4 });
    const scores = found.map(({ score }) => score);
    expect(found).toHaveLength(4);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(scores.every((score) => score > 0 && score <= 1)).toBe(true);
  });

  test('does not depend on the order of the tools', async () => {
    const reversed = new ToolSelector([...tools].reverse());
    for (const query of ['create entities', 'read', 'search the graph', 'calculator']) {
      expect(await reversed.search(query)).toEqual(await selector.search(query));
    }
  });

  test('orders tools that score the same by name', async () => {
    const twins = ['c', 'a', 'b'].map((server) => tool(server, 'ping', 'Answers'));
    expect(names(await new ToolSelector(twins).search('ping now'))).toEqual(['a.ping', 'b.ping', 'c.ping']);
  });

  test('finds the words of nested parameters down to the third level', async () => {
    const nested = (depth: number): object =>
      depth === 0 ? text : { type: 'object', properties: { [`level${'xyzw'[4 - depth]}`]: nested(depth - 1) } };
    const deep = new ToolSelector([tool('deep', 'thing', 'Does', { levelx: nested(3) }), tool('other', 'one', 'Two')]);
    expect(names(await deep.search('levely'))).toEqual(['deep.thing']);
    expect(names(await deep.search('levelz'))).toEqual(['deep.thing']);
    expect(names(await deep.search('levelw'))).toEqual([]);
  });

  test('ranks by another retriever when it is given one', async () => {
    const [only] = tools;
    if (only === undefined) throw new Error('no tools');
    const retriever = { rank: async () => [{ tool: only, score: 0.5, reasons: ['near'] }] };
    const found = await new ToolSelector(tools, { retriever }).search('anything');
    expect(found).toEqual([{ server: only.server, tool: only.tool, score: 0.5, reasons: ['near'] }]);
  });

  test('reads the first 1,000 characters of a description', async () => {
    const found = (length: number) =>
      new ToolSelector([tool('a', 'b', ' zebra'.padStart(length, '.'))]).search('zebra');
    expect(await found(999)).toHaveLength(1);
    expect(await found(1_000)).toHaveLength(1);
    expect(await found(1_001)).toHaveLength(0);
  });

  test.each([
    [49, 49],
    [50, 50],
    [3_000, 50],
  ])('answers from %d tools with %d', async (count, found) => {
    const many = Array.from({ length: count }, (_, index) => tool('many', `tool_${index}`, 'Counts sheep'));
    expect(await new ToolSelector(many).search('count sheep', { limit: 5_000 })).toHaveLength(found);
  });
});

describe('several queries', () => {
  test('get their tools in turn, each tool once', async () => {
    const queries = ['read a file', 'create entities in the graph'];
    const [file, graph] = await Promise.all(queries.map((query) => selector.search(query, { limit: 2 })));
    const both = await selector.search(queries, { limit: 4 });
    const turns = [file?.[0], graph?.[0], file?.[1], graph?.[1]].map((hit) => hit && toolName(hit));
    expect(names(both).slice(0, 2)).toEqual(turns.slice(0, 2));
    expect(new Set(names(both)).size).toBe(4);
  });

  test('are judged one by one: one that nothing fits takes no place', async () => {
    const { tools: selected, noMatch } = await selector.select(['Order a pizza', 'read a file'], { limit: 2 });
    expect(noMatch).toBeNull();
    expect(names(selected)[0]).toBe('filesystem.read_file');
    expect((await selector.select(['Order a pizza', 'Feed the cat'])).noMatch).not.toBeNull();
  });

  test('find nothing when there are none', async () => {
    expect(await selector.search([])).toEqual([]);
  });
});

describe('a server that is not available', () => {
  const unavailable = new Map([['filesystem', 'it is down']]);

  test('is hidden, with what would have been chosen of it', async () => {
    const { tools: selected, hidden } = await selector.select('Read the file and create entities', { unavailable });
    expect(names(selected).some((name) => name.startsWith('filesystem.'))).toBe(false);
    expect(hidden).toEqual([
      { server: 'filesystem', reason: 'it is down', tools: expect.arrayContaining(['read_file']) },
    ]);
  });

  test('is the reason when nothing else fits', async () => {
    const { tools: selected, noMatch } = await selector.select('filesystem.read_file', { unavailable });
    expect(selected).toEqual([]);
    expect(noMatch?.reason).toBe('What fits is on servers that are not available: "filesystem" (it is down)');
  });

  test('is said also by a search, and only when it has tools', async () => {
    const found = await selector.find('read', { unavailable: new Map([...unavailable, ['unknown', 'it is down']]) });
    expect(found.hidden?.map(({ server }) => server)).toEqual(['filesystem']);
    expect(found.tools.every(({ server }) => server !== 'filesystem')).toBe(true);
    expect(await selector.find('read')).not.toHaveProperty('hidden');
  });

  test('gives its places to others', async () => {
    const { tools: found } = await selector.find('read a file of the graph', { limit: 3, unavailable });
    expect(found).toHaveLength(3);
  });
});

describe('a budget in tokens', () => {
  const task = 'the knowledge graph';

  test('holds for the definitions of the tools: below, at and above', async () => {
    const chosen = await selector.select(task, { maxTokens: 10_000 });
    const tokens = chosen.budget?.tokens ?? 0;
    expect(chosen.tools).toHaveLength(5);
    const count = async (maxTokens: number) => (await selector.select(task, { maxTokens })).tools.length;
    expect([await count(tokens - 1), await count(tokens), await count(tokens + 1)]).toEqual([4, 5, 5]);
  });

  test('says what it left out, and passes over what is too large', async () => {
    const large = tool('a', 'count_sheep', `Count sheep. ${'Sheep are animals. '.repeat(40)}`);
    const small = tool('b', 'count_sheep_fast', 'Count sheep');
    const { tools: selected, budget } = await new ToolSelector([large, small]).select('count sheep', { maxTokens: 60 });
    expect(names(selected)).toEqual(['b.count_sheep_fast']);
    expect(budget).toMatchObject({ maxTokens: 60, leftOut: ['a.count_sheep'] });
    expect(budget?.tokens).toBeLessThanOrEqual(60);
  });
});

describe('update()', () => {
  test('gives the answers of a new selector, whatever was there before', async () => {
    const changing = new ToolSelector(tools.slice(0, 6));
    changing.update([...tools.slice(6), tool('late', 'create_graph', 'Create a graph')]);
    changing.update(tools.slice(2));
    changing.update(tools);
    for (const query of ['create entities', 'read a file. Then add two numbers to the graph.', 'memory.read_graph']) {
      expect(await changing.select(query)).toEqual(await new ToolSelector(tools).select(query));
    }
  });

  test('forgets the tools of a server that is gone, by name too', async () => {
    const changing = new ToolSelector(tools);
    changing.update(tools.filter(({ server }) => server !== 'memory'));
    expect(names(await changing.search('memory.read_graph'))).not.toContain('memory.read_graph');
    expect((await changing.select('knowledge')).considered).toBe(
      tools.filter(({ server }) => server !== 'memory').length,
    );
  });
});

test('a request of several sentences gets a tool for each', async () => {
  const task =
    'Please read the file notes.txt for me. After that create entities for the people. Finally add 5 and 3 for the total.';
  const { tools: selected } = await selector.select(task);
  expect(names(selected)).toEqual(
    expect.arrayContaining(['filesystem.read_file', 'memory.create_entities', 'calculator.add']),
  );
});
