import { describe, expect, it } from 'vitest';
import { problemOf, type RequestFacts } from '../../../src/sandbox/request-guard.ts';

const names = { hosts: new Set(['localhost', 'box.example']), origins: new Set(['box.example']) };
const check = (facts: Partial<RequestFacts>) =>
  problemOf({ method: 'GET', host: 'localhost:5555', origin: undefined, localAddress: '127.0.0.1', ...facts }, names);

describe('the Host header', () => {
  it.each([
    ['localhost', '127.0.0.1'],
    ['localhost:5555', '127.0.0.1'],
    ['LOCALHOST:1', '127.0.0.1'],
    ['box.example', '10.0.0.1'],
    ['Box.Example:443', '10.0.0.1'],
    ['127.0.0.1:5555', '127.0.0.1'],
    ['127.0.0.1', '::ffff:127.0.0.1'],
    ['[::1]:5555', '::1'],
    ['[0:0:0:0:0:0:0:1]', '::1'],
    ['[fe80::1]:80', 'fe80::1%eth0'],
  ])('may be %s at %s', (host, localAddress) => {
    expect(check({ host, localAddress })).toBeUndefined();
  });

  it.each([
    ['evil.example', '127.0.0.1'],
    ['localhost.evil.example', '127.0.0.1'],
    ['evil.example:5555', '127.0.0.1'],
    ['box.example.evil', '127.0.0.1'],
    ['xlocalhost', '127.0.0.1'],
    ['127.0.0.2:5555', '127.0.0.1'],
    ['0.0.0.0:5555', '127.0.0.1'],
    ['2130706433', '127.0.0.1'],
    ['[::1]', '127.0.0.1'],
    ['10.0.0.1', undefined],
    ['localhost@evil.example', '127.0.0.1'],
    ['localhost:5555:1', '127.0.0.1'],
    ['localhost ', '127.0.0.1'],
    ['localhost.', '127.0.0.1'],
    ['', '127.0.0.1'],
    [undefined, '127.0.0.1'],
  ])('may not be %s at %s', (host, localAddress) => {
    expect(check({ host, localAddress })).toMatch(/does not go by the name/);
  });
});

describe('the Origin header', () => {
  it.each([
    ['http://localhost:5555', 'localhost:5555'],
    ['https://box.example', 'box.example'],
    ['https://box.example:8443', 'localhost:5555'],
  ])('may be %s for %s', (origin, host) => {
    expect(check({ origin, host })).toBeUndefined();
  });

  it.each([
    'http://localhost:3000',
    'http://127.0.0.1:5555',
    'https://evil.example',
    'https://box.example.evil',
    'null',
    '',
    'file://',
    'file://localhost:5555',
    'chrome-extension://abcdefgh',
    'http://localhost:5555@evil.example',
    'localhost:5555',
  ])('may not be %j', (origin) => {
    expect(check({ origin })).toMatch(/another origin/);
  });
});

it('a preflight request is refused, of the own origin too', () => {
  expect(check({ method: 'OPTIONS' })).toMatch(/preflight/);
  expect(check({ method: 'OPTIONS', origin: 'http://localhost:5555' })).toMatch(/preflight/);
});
