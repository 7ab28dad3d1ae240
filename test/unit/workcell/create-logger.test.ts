import { expect, test } from 'vitest';
import { redacted } from '../../../src/workcell/create-logger.ts';

test.each([
  [`key msb_${'0a'.repeat(32)} was used`, 'key [redacted] was used'],
  ['{"authorization":"Bearer abcdefgh.ijk"}', '{"authorization":"[redacted]"}'],
  ['Basic dXNlcjpwYXNz in a message', '[redacted] in a message'],
])('blots out what gives access: %s', (line, shown) => {
  expect(redacted(line)).toBe(shown);
});

test('leaves everything else as it is', () => {
  const line = '{"level":40,"keyId":"key_0123456789ab","msg":"Bearer of bad news"}';
  expect(redacted(line)).toBe(line);
});
