import { expect, it } from 'vitest';
import { decodeLogCursor, encodeLogCursor } from '../../../src/sandbox/log-cursor.ts';

it('the id of a log event is the base64 of a count, a generation and a number, both little-endian', () => {
  const bytes = Buffer.from(encodeLogCursor({ generation: 0xdead_beef_1234_5678n, next: 42 }), 'base64');
  expect(bytes.toString('hex')).toBe('01' + '78563412efbeadde' + '2a00000000000000');
});

it.each([0, 1, 42, Number.MAX_SAFE_INTEGER])('the position %i comes back as it was', (next) => {
  const position = { generation: 0xffff_ffff_ffff_ffffn, next };
  expect(decodeLogCursor(encodeLogCursor(position))).toEqual(position);
});

it('the empty cursor of the stock clients is the start', () => {
  expect(decodeLogCursor('AA==')).toBeUndefined();
});

it.each([
  ['nothing', ''],
  ['no base64', '***'],
  ['too short', Buffer.alloc(16, 1).toString('base64')],
  ['of two files', Buffer.concat([Buffer.from([2]), Buffer.alloc(32)]).toString('base64')],
  ['a number beyond every log', Buffer.concat([Buffer.from([1]), Buffer.alloc(16, 0xff)]).toString('base64')],
])('what is %s is refused', (_what, text) => {
  expect(() => decodeLogCursor(text)).toThrow(RangeError);
});
