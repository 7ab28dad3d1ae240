import { describe, expect, it } from 'vitest';
import { isInGroup } from '../../../src/core/address-group.ts';
import { type NetworkPolicy, parseAllowList } from '../../../src/core/network-policy.ts';
import { mayConnect, mayResolve } from '../../../src/sandbox/egress/decide-egress.ts';

const PUBLIC = '93.184.216.34';
const allowAll: NetworkPolicy = { defaultEgress: 'allow', rules: [] };

describe('mayResolve', () => {
  const policy = parseAllowList(['example.com', '*.example.org:443', '10.0.0.0/8:5432']);

  it.each([
    ['example.com', 443, true],
    ['EXAMPLE.com.', 80, true],
    ['example.com', 8080, false],
    ['sub.example.com', 443, false],
    ['example.org', 443, true],
    ['a.b.example.org', 443, true],
    ['notexample.org', 443, false],
    ['secret.attacker.test', 443, false],
    ['database.internal', 5432, false],
  ])('%s:%i is %s', (name, port, expected) => expect(mayResolve(policy, name, port)).toBe(expected));

  it('lets the first rule that matches decide', () => {
    const denied = { action: 'deny', destination: { kind: 'domain', name: 'bad.test' }, ports: [] } as const;
    expect(mayResolve({ defaultEgress: 'allow', rules: [denied] }, 'bad.test', 443)).toBe(false);
    expect(
      mayResolve(
        { ...parseAllowList(['bad.test']), rules: [...parseAllowList(['bad.test']).rules, denied] },
        'bad.test',
        443,
      ),
    ).toBe(true);
    expect(mayResolve(allowAll, 'any.test', 1)).toBe(true);
  });
});

describe('mayConnect', () => {
  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '169.254.169.254',
    '0.0.0.0',
    '::1',
    'fd00::1',
    'fe80::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '64:ff9b::a00:1',
    '2002:7f00:1::',
  ])('does not open %s to a name, to "*" or by default', (address) => {
    expect(mayConnect(parseAllowList(['inside.test', '*']), 'inside.test', address, 443)).toBe(false);
    expect(mayConnect(allowAll, 'inside.test', address, 443)).toBe(false);
  });

  it('opens an inside address that is named, on the named ports only', () => {
    const policy = parseAllowList(['db.test:5432', '10.0.0.0/8:5432', '169.254.169.254:80']);
    expect(mayConnect(policy, 'db.test', '10.9.9.9', 5432)).toBe(true);
    expect(mayConnect(policy, undefined, '10.9.9.9', 5432)).toBe(true);
    expect(mayConnect(policy, undefined, '10.9.9.9', 5433)).toBe(false);
    expect(mayConnect(policy, undefined, '11.0.0.1', 5432)).toBe(false);
    expect(mayConnect(policy, undefined, '169.254.169.254', 80)).toBe(true);
    expect(mayConnect(policy, undefined, '::ffff:10.9.9.9', 5432)).toBe(true);
  });

  it('opens public addresses to allowed names, and to nobody else', () => {
    const policy = parseAllowList(['example.com']);
    expect(mayConnect(policy, 'example.com', PUBLIC, 443)).toBe(true);
    expect(mayConnect(policy, undefined, PUBLIC, 443)).toBe(false);
    expect(mayConnect(policy, 'example.com', PUBLIC, 22)).toBe(false);
  });
});

it('addresses belong to the groups of the policy', () => {
  expect(isInGroup('8.8.8.8', 'public')).toBe(true);
  expect(isInGroup('2606:4700:4700::1111', 'public')).toBe(true);
  expect(isInGroup('169.254.169.254', 'metadata')).toBe(true);
  expect(isInGroup('169.254.169.253', 'metadata')).toBe(false);
  expect(isInGroup('169.254.169.253', 'link_local')).toBe(true);
  expect(isInGroup('127.1.2.3', 'host')).toBe(true);
});
