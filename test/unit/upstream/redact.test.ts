import { expect, it } from 'vitest';
import { redactor } from '../../../src/upstream/redact.ts';
import { Secret } from '../../../src/util/secret.ts';

const web = (header: string) =>
  redactor({ kind: 'http', url: 'http://x', timeoutMs: 1, headers: { Authorization: new Secret(header) } });

it('blots out a credential wherever it stands, with and without its scheme', () => {
  expect(web('Bearer abc.123')('Bearer abc.123 is not abc.123')).toBe('[redacted] is not [redacted]');
});

it.each([
  ['12345', 'is 12345'],
  ['123456', 'is [redacted]'],
])('leaves short values such as flags: %s', (value, text) => {
  expect(web(value)(`is ${value}`)).toBe(text);
});

it('blots out the longer of two values that overlap', () => {
  const redact = redactor({
    kind: 'stdio',
    command: 'x',
    args: [],
    cwd: '/',
    timeoutMs: 1,
    env: { A: new Secret('secret'), B: new Secret('secret-longer') },
  });
  expect(redact('secret-longer')).toBe('[redacted]');
});
