import { expect, test } from 'vitest';
import { type ToolDescriptor, toolName } from '../../../src/core/tool.ts';
import { SemanticIndex } from '../../../src/selector/semantic-index.ts';
import { semanticText } from '../../../src/selector/semantic-text.ts';
import { fakeEmbedder } from './fake-embedder.ts';

const embedder = fakeEmbedder([
  ['picture', 'image', 'photo'],
  ['file', 'document'],
  ['mail', 'message'],
]);

const tools = [
  tool('disk', 'read_file', 'Read a document'),
  tool('camera', 'takePicture', 'Take an image'),
  tool('camera', 'savePicture', 'Save an image to a file'),
  tool('album', 'picture', 'An image'),
  tool('clock', 'now', 'The time of day'),
];

async function search(query: string, limit = 10) {
  const vectors = await Promise.all(tools.map((each) => embedder.embed(semanticText(each))));
  const embedded = tools.map((each, i) => ({ tool: each, vector: vectors[i] ?? new Float32Array() }));
  return (await new SemanticIndex(embedded, embedder).rank(query, limit)).map(({ tool: each, score, reasons }) => ({
    name: toolName(each),
    score: Number(score.toFixed(2)),
    reasons,
  }));
}

test('tools are found by what they mean, best first, equal ones by name, with the similarity as the reason', async () => {
  expect(await search('photo')).toEqual([
    { name: 'album.picture', score: 1, reasons: ['meaning: 1.00 similar'] },
    { name: 'camera.takePicture', score: 1, reasons: ['meaning: 1.00 similar'] },
    { name: 'camera.savePicture', score: 0.89, reasons: ['meaning: 0.89 similar'] },
  ]);
});

test('no more than the limit is given', async () => {
  expect(await search('photo', 1)).toMatchObject([{ name: 'album.picture' }]);
});

test('a query without any known meaning finds nothing', async () => {
  expect(await search('zzz')).toEqual([]);
});

test('of a very long query the beginning counts', async () => {
  expect(await search(`photo ${' '.repeat(3_000)} document`)).toMatchObject([
    { name: 'album.picture', score: 1 },
    { name: 'camera.takePicture', score: 1 },
    { name: 'camera.savePicture', score: 0.89 },
  ]);
});

test('the text of a tool is a sentence of its names and its description, and is cut at 1,000 characters', () => {
  expect(semanticText(tool('my-disk', 'readFile', 'Read\n  a document'))).toBe('my disk read file: Read a document');
  const titled = { ...tool('a', 'b', 'does it'), annotations: { title: 'Doer' } };
  expect(semanticText(titled)).toBe('a b: Doer does it');
  expect(semanticText(tool('a', 'b', 'x'.repeat(2_000)))).toHaveLength(1_000);
});

function tool(server: string, name: string, description: string): ToolDescriptor {
  return { kind: 'upstream', server, tool: name, identifier: name, description, inputSchema: {} };
}
