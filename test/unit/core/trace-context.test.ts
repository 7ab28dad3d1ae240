import { expect, test } from 'vitest';
import { traceContext } from '../../../src/core/trace-context.ts';

const ID = '0af7651916cd43dd8448eb211c80319c';
const PARENT = `00-${ID}-b7ad6b7169203331-01`;

test('keeps what the specification allows', () => {
  expect(traceContext(PARENT)).toEqual({ traceparent: PARENT });
  expect(traceContext(PARENT, 'vendor=1')).toEqual({ traceparent: PARENT, tracestate: 'vendor=1' });
});

test('takes the known fields of a later version', () => {
  const later = PARENT.replace(/^00/, '01');
  expect(traceContext(`${later}-what-comes-then`)).toEqual({ traceparent: later });
});

test.each([
  ['something else', 'hello'],
  ['no text', 7],
  ['version ff', PARENT.replace(/^00/, 'ff')],
  ['an all-zero trace', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`],
  ['an all-zero span', `00-${ID}-${'0'.repeat(16)}-01`],
  ['upper case', PARENT.toUpperCase()],
  ['more fields than version 00 has', `${PARENT}-more`],
])('ignores %s', (_, value) => {
  expect(traceContext(value)).toBeUndefined();
});

test('leaves out a state that is longer than 512 characters', () => {
  expect(traceContext(PARENT, 'v'.repeat(512))).toHaveProperty('tracestate');
  expect(traceContext(PARENT, 'v'.repeat(513))).not.toHaveProperty('tracestate');
});
