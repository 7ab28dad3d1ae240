import { expect, test } from 'vitest';
import { toolName } from '../../../src/core/tool.ts';
import { fuseRankings } from '../../../src/selector/fuse-rankings.ts';
import type { RankedTool } from '../../../src/selector/retriever.ts';

const THRESHOLD = 0.2;

const fuse = (lexical: readonly RankedTool[], semantic: readonly RankedTool[]) =>
  fuseRankings(lexical, semantic, THRESHOLD).map(({ tool, score, reasons }) => ({
    name: toolName(tool),
    score: Number(score.toFixed(3)),
    reasons,
  }));
const names = (fused: readonly { readonly name: string }[]) => fused.map(({ name }) => name);

test('a tool that both rankings have comes before one that either has further up, with the reasons of both', () => {
  const fused = fuse([ranked('a', 0.9), ranked('both', 0.5)], [ranked('b', 0.6), ranked('both', 0.5)]);
  expect(names(fused)).toEqual(['s.both', 's.a', 's.b']);
  expect(fused[0]?.reasons).toEqual(['both 0.5', 'both 0.5']);
});

test('of tools on equal places the first by name comes first, whichever ranking has it', () => {
  expect(names(fuse([ranked('z', 0.9)], [ranked('a', 0.9)]))).toEqual(['s.a', 's.z']);
  expect(names(fuse([ranked('a', 0.9)], [ranked('z', 0.9)]))).toEqual(['s.a', 's.z']);
});

test('the score is the stronger evidence, where a similarity of 0.5 counts as much as the threshold', () => {
  expect(fuse([ranked('a', 0.7)], [ranked('a', 0.5)])[0]?.score).toBe(0.7);
  expect(fuse([ranked('a', 0.1)], [ranked('a', 0.5)])[0]?.score).toBe(THRESHOLD);
});

test.each([
  [0.2, 0],
  [0.35, 0.1],
  [0.499, 0.199],
  [0.5, 0.2],
  [0.75, 0.6],
  [1, 1],
])('a similarity of %d alone scores %d', (similarity, score) => {
  expect(fuse([], [ranked('a', similarity)])).toMatchObject([{ score }]);
});

test('one ranking alone keeps its order', () => {
  expect(names(fuse([ranked('b', 0.3), ranked('a', 0.2)], []))).toEqual(['s.b', 's.a']);
  expect(fuse([], [])).toEqual([]);
});

function ranked(name: string, score: number): RankedTool {
  const tool = {
    kind: 'upstream',
    server: 's',
    tool: name,
    identifier: name,
    description: '',
    inputSchema: {},
  } as const;
  return { tool, score, reasons: [`${name} ${score}`] };
}
