import { expect, it } from 'vitest';
import { OutputLines } from '../../../../src/sandbox/rpc/output-lines.ts';

const MIB = 1024 * 1024;
const push = (lines: OutputLines, text: string | Uint8Array, stream: 'stdout' | 'stderr' = 'stdout') =>
  lines.push(stream, typeof text === 'string' ? Buffer.from(text) : text);
const texts = (lines: OutputLines) => lines.finish().map(({ text }) => text);

it('lines have no ends, keep their order, and may come in pieces', () => {
  const lines = new OutputLines();
  push(lines, 'a');
  push(lines, 'x\r\ny', 'stderr');
  push(lines, 'b\n\nc');
  push(lines, '\n', 'stderr');
  expect(lines.finish()).toEqual([
    { stream: 'stderr', text: 'x' },
    { stream: 'stdout', text: 'ab' },
    { stream: 'stdout', text: '' },
    { stream: 'stderr', text: 'y' },
    { stream: 'stdout', text: 'c' },
  ]);
});

it('a character that is cut in two is whole again, and what is none becomes U+FFFD', () => {
  const lines = new OutputLines();
  const bytes = Buffer.from('ä€');
  for (const byte of bytes) push(lines, Buffer.from([byte]));
  push(lines, Buffer.from([0x0a, 0xff, 0x0a, 0xe2]));
  expect(texts(lines)).toEqual(['ä€', '\uFFFD', '\uFFFD']);
});

it.each([
  ['below the limit', MIB - 1, []],
  ['at the limit', MIB, []],
  ['above the limit', MIB + 1, ['[workcell] 1 more bytes of stdout were cut off here']],
])('of output %s, what is too much is cut off with a mark', (_what, size, marks) => {
  const lines = new OutputLines();
  push(lines, 'x'.repeat(size));
  push(lines, 'kept', 'stderr');
  const kept = lines.finish().filter(({ stream }) => stream === 'stdout');
  expect(kept.map(({ text }) => text)).toEqual(['x'.repeat(Math.min(size, MIB)), ...marks]);
  expect(lines.finish()).toContainEqual({ stream: 'stderr', text: 'kept' });
});

it('a flood of lines is cut off with a mark, too', () => {
  const lines = new OutputLines();
  push(lines, '\n'.repeat(32 * 1024 + 5));
  push(lines, 'late\n');
  expect(texts(lines)).toHaveLength(32 * 1024 + 1);
  expect(texts(lines).at(-1)).toBe('[workcell] 10 more bytes of stdout were cut off here');
});
