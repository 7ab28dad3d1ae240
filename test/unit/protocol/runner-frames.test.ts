import { describe, expect, it } from 'vitest';
import { encodeLine, LineDecoder, MAX_LINE_CHARS, type RunnerFrame } from '../../../src/protocol/runner-frames.ts';

const FRAMES: readonly RunnerFrame[] = [
  { t: 'hello', version: 1 },
  { t: 'out', run: 'a', stream: 'stdout', text: 'line\nwith "all" \\ of \u2028 it, ünï 🙂' },
  { t: 'call', run: 'a', call: 1, server: 's', tool: 't', input: { nested: [1, null] } },
];
const STREAM = FRAMES.map(encodeLine).join('');
const decode = (chunks: readonly string[]) => {
  const decoder = new LineDecoder();
  return chunks.flatMap((chunk) => [...decoder.push(chunk)]);
};

describe('lines of frames', () => {
  it('are the same wherever they are split', () => {
    for (let at = 0; at <= STREAM.length; at++) expect(decode([STREAM.slice(0, at), STREAM.slice(at)])).toEqual(FRAMES);
    expect(decode([...STREAM])).toEqual(FRAMES);
  });

  it('may have empty ones between them', () => {
    expect(decode(['\n\n{"t":"a"}\n\n{"t":"b"}\n'])).toEqual([{ t: 'a' }, { t: 'b' }]);
  });

  it('wait for the end of the last one', () => {
    expect(decode(['{"t":"a"}'])).toEqual([]);
    expect(decode(['{"t":"a"}', '\n'])).toEqual([{ t: 'a' }]);
  });

  it.each([['nonsense'], ['[]'], ['null'], ['1'], ['"text"'], ['{"t":'], ['{} {}']])(
    'are JSON objects, not %s',
    (line) => {
      expect(() => decode([`${line}\n`])).toThrow();
    },
  );

  it('are as long as the limit, and not longer', () => {
    const line = (length: number) => `{"t":"${'x'.repeat(length - 8)}"}`;
    expect(line(20)).toHaveLength(20);
    expect(decode([line(MAX_LINE_CHARS), '\n'])).toHaveLength(1);
    expect(() => decode([line(MAX_LINE_CHARS + 1)])).toThrow(RangeError);
    expect(() => decode([`${line(MAX_LINE_CHARS + 1)}\n`])).toThrow(RangeError);
  });
});
