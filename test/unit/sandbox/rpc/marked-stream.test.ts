import { expect, it } from 'vitest';
import { MarkedStream } from '../../../../src/sandbox/rpc/marked-stream.ts';

const MARKER = Buffer.from('\0mark\0');

/** What is seen of a stream whose bytes come in pieces of this size; `|` is where the marker was noticed. */
function seen(text: string, size: number): string {
  let result = '';
  const stream = new MarkedStream((data) => {
    result += data.toString();
  });
  stream.expect(MARKER, () => {
    result += '|';
  });
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.byteLength; at += size) stream.push(bytes.subarray(at, at + size));
  stream.end();
  return result;
}

it('a marker is found however it is cut, and everything around it is passed on in order', () => {
  for (const size of [1, 2, 3, 5, 7, 100]) {
    expect(seen('before\0mark\0after', size)).toBe('before|after');
    expect(seen('\0mark\0', size)).toBe('|');
    expect(seen('\0mar\0mark\0\0mark\0', size)).toBe('\0mar|\0mark\0');
  }
});

it('a start of a marker is not lost when the stream ends', () => {
  expect(seen('text\0mar', 3)).toBe('text\0mar');
});
