import { describe, expect, test } from 'vitest';
import { type ToolDescriptor, toolName } from '../../../src/core/tool.ts';
import { SemanticIndex } from '../../../src/selector/semantic-index.ts';
import type { SemanticSource } from '../../../src/selector/semantic-source.ts';
import { semanticText } from '../../../src/selector/semantic-text.ts';
import { ToolSelector } from '../../../src/selector/tool-selector.ts';
import { fakeEmbedder } from './fake-embedder.ts';

const embedder = fakeEmbedder([
  ['picture', 'image', 'photo', 'snapshot'],
  ['mail', 'message', 'letter'],
  ['weather', 'rain', 'sunny'],
]);

const tools = [
  tool('camera', 'take_picture', 'Take a picture'),
  tool('post', 'send_mail', 'Send a mail to a person'),
  tool('sky', 'forecast', 'The weather of the coming days'),
  tool('disk', 'read_file', 'Read the contents of a file'),
];

const vectors = await Promise.all(tools.map((each) => embedder.embed(semanticText(each))));
const index = new SemanticIndex(
  tools.map((each, i) => ({ tool: each, vector: vectors[i] ?? new Float32Array() })),
  embedder,
);
const available: SemanticSource = { rank: async (query, limit) => ({ ranked: await index.rank(query, limit) }) };
const unavailable: SemanticSource = { rank: async () => ({ unavailable: 'the embedding model still loads' }) };

const hybrid = new ToolSelector(tools, { semantic: available });
const lexical = new ToolSelector(tools);

describe('select()', () => {
  test('finds by meaning what shares no word with the task, and says so', async () => {
    expect(await lexical.select('a snapshot of me')).toMatchObject({ mode: 'lexical', tools: [] });
    expect(await hybrid.select('a snapshot of me')).toMatchObject({
      mode: 'hybrid',
      tools: [{ tool: 'take_picture', score: 1, reasons: ['meaning: 1.00 similar'] }],
      noMatch: null,
    });
  });

  test('gives both reasons for what is found both ways', async () => {
    const { tools: selected } = await hybrid.select('send a letter by mail');
    expect(selected[0]).toMatchObject({
      tool: 'send_mail',
      reasons: expect.arrayContaining([expect.stringMatching(/^name: /), expect.stringMatching(/^meaning: /)]),
    });
  });

  test('still selects nothing when neither words nor meaning fit, and says what was nearest', async () => {
    expect(await hybrid.select('play chess with grandmaster')).toMatchObject({
      mode: 'hybrid',
      tools: [],
      noMatch: { nearMisses: [] },
    });
    // Two of three meanings are others: 0.58 is not enough for a threshold that asks for certainty.
    const strict = await hybrid.select('photo letter rain', { threshold: 0.5 });
    expect(strict).toMatchObject({ tools: [], noMatch: { reason: expect.stringContaining('0.50 is needed') } });
    expect(strict.noMatch?.nearMisses).toHaveLength(3);
  });

  test('says why meaning had no part, and gives what the words give', async () => {
    const selector = new ToolSelector(tools, { semantic: unavailable });
    expect(await selector.select('send a mail')).toEqual({
      ...(await lexical.select('send a mail')),
      withoutEmbeddings: 'the embedding model still loads',
    });
  });

  test('says nothing of embeddings where none are configured', async () => {
    expect(await lexical.select('send a mail')).not.toHaveProperty('withoutEmbeddings');
  });

  test('gives the same answer each time', async () => {
    const task = 'mail the weather picture';
    expect(await hybrid.select(task)).toEqual(await new ToolSelector(tools, { semantic: available }).select(task));
  });
});

test('a tool that the query names comes first, whatever others mean', async () => {
  const { tools: found } = await hybrid.find('read_file of a photo picture image');
  expect(found[0]).toMatchObject({ tool: 'read_file', score: 1, reasons: ['named in the task'] });
  expect(found.map(toolName)).toContain('camera.take_picture');
});

test('findings of several queries take turns, and a tool of more than one stands where it comes first', async () => {
  const queries = ['photo', 'mail and picture', 'rain'];
  const merged = await hybrid.find(queries);
  expect(merged.mode).toBe('hybrid');
  expect(merged.tools.map(toolName).slice(0, 3).sort()).toEqual([
    'camera.take_picture',
    'post.send_mail',
    'sky.forecast',
  ]);
  expect(new Set(merged.tools.map(toolName)).size).toBe(merged.tools.length);
  expect((await hybrid.find(queries, { limit: 2 })).tools).toHaveLength(2);
  expect(await hybrid.find([])).toEqual({ mode: 'lexical', tools: [] });
});

test('findings of several queries are lexical when one of them is, with its reason', async () => {
  const half: SemanticSource = {
    rank: (query, limit) => (query === 'rain' ? unavailable : available).rank(query, limit),
  };
  const merged = await new ToolSelector(tools, { semantic: half }).find(['photo', 'rain']);
  expect(merged).toMatchObject({ mode: 'lexical', withoutEmbeddings: 'the embedding model still loads' });
});

function tool(server: string, name: string, description: string): ToolDescriptor {
  return { kind: 'upstream', server, tool: name, identifier: name, description, inputSchema: {} };
}
