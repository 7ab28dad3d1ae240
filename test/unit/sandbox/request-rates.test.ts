import { describe, expect, it } from 'vitest';
import { ALL_SCOPES, DEFAULT_ORGANISATION, type Principal } from '../../../src/core/principal.ts';
import { networkOf, RequestRates } from '../../../src/sandbox/request-rates.ts';

let now = 0;
const open = () => {
  const refused: string[] = [];
  const rates = new RequestRates({
    limits: { requestsPerSecond: 10, failedKeysPerMinute: 6 },
    onRefused: (limit) => refused.push(limit),
    now: () => now,
  });
  return { rates, refused };
};
const attempt = (key: string, address = '192.0.2.1') => ({ address, headers: { authorization: `Bearer ${key}` } });
const principal: Principal = { role: 'organisation', org: DEFAULT_ORGANISATION, scopes: ALL_SCOPES, keyId: 'key_a' };
const tooMany = (quota: string, retryAfterMs: number) =>
  expect.objectContaining({ code: 'quota_exceeded', details: expect.objectContaining({ quota, retryAfterMs }) });

describe('wrong keys', () => {
  it('are looked at as often as the limit says, and again when there was time for one', () => {
    const { rates, refused } = open();
    for (let n = 0; n < 6; n++) {
      rates.assertMayTry(attempt(`wrong${n}`));
      rates.failed(attempt(`wrong${n}`));
    }
    expect(() => rates.assertMayTry(attempt('perhaps right'))).toThrow(tooMany('failedKeysPerMinute', 10_000));
    rates.assertMayTry(attempt('x', '192.0.2.2'));
    expect(refused).toEqual(['failedKeysPerMinute']);
    now += 9_999;
    expect(() => rates.assertMayTry(attempt('x'))).toThrow(tooMany('failedKeysPerMinute', 1));
    now += 1;
    rates.assertMayTry(attempt('x'));
  });

  it('of somebody else behind the same address keep out no key that has been good, until it is not', () => {
    const { rates } = open();
    rates.admit(attempt('good'), principal);
    for (let n = 0; n < 10; n++) rates.failed(attempt('wrong'));
    rates.assertMayTry(attempt('good'));
    rates.failed(attempt('good'));
    expect(() => rates.assertMayTry(attempt('good'))).toThrow(/not valid/);
  });

  it('are not those of requests that have none', () => {
    const { rates } = open();
    for (let n = 0; n < 100; n++) rates.failed({ address: '192.0.2.1', headers: {} });
    rates.assertMayTry(attempt('x'));
  });
});

describe('requests of one key', () => {
  it('are as many as the limit says, and at once those of two seconds', () => {
    const { rates, refused } = open();
    for (let n = 0; n < 20; n++) rates.admit(attempt('a'), principal);
    expect(() => rates.admit(attempt('a'), principal)).toThrow(tooMany('requestsPerSecond', 100));
    rates.admit(attempt('b'), { ...principal, keyId: 'key_b' });
    expect(refused).toEqual(['requestsPerSecond']);
    now += 100;
    rates.admit(attempt('a'), principal);
    expect(() => rates.admit(attempt('a'), principal)).toThrow(/too many requests/);
  });

  it('are not counted for the administrator of the server itself', () => {
    const { rates } = open();
    const { keyId: _, ...own } = principal;
    for (let n = 0; n < 1000; n++) rates.admit(attempt('own'), { ...own, role: 'administrator' });
  });
});

it.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['2001:DB8:0:1::5', '2001:db8:0:1'],
  ['2001:db8:0:1:2:3:4:5', '2001:db8:0:1'],
  ['2001:0db8::1:2:3:4:5', '2001:db8:0:1'],
  [undefined, ''],
])('the network of %s is %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
