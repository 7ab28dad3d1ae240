import { describe, expect, it } from 'vitest';
import { parseAllowList } from '../../../src/core/network-policy.ts';
import { fromCloudPolicy, networkPolicySchema, toCloudPolicy } from '../../../src/protocol/network-policy.ts';

const web = [
  { start: 80, end: 80 },
  { start: 443, end: 443 },
];

describe('parseAllowList', () => {
  it.each([
    ['example.com', { kind: 'domain', name: 'example.com' }, web],
    ['Example.COM:8443', { kind: 'domain', name: 'example.com' }, [{ start: 8443, end: 8443 }]],
    ['*.example.com:1-65535', { kind: 'suffix', name: 'example.com' }, [{ start: 1, end: 65_535 }]],
    ['10.0.0.0/8:5432', { kind: 'cidr', cidr: '10.0.0.0/8' }, [{ start: 5432, end: 5432 }]],
    ['192.0.2.7', { kind: 'cidr', cidr: '192.0.2.7' }, web],
    ['[2001:db8::]/32:443', { kind: 'cidr', cidr: '2001:db8::/32' }, [{ start: 443, end: 443 }]],
    ['[::1]', { kind: 'cidr', cidr: '::1' }, web],
    ['*', { kind: 'group', group: 'public' }, web],
  ])('reads %s', (entry, destination, ports) => {
    expect(parseAllowList([entry])).toEqual({
      defaultEgress: 'deny',
      rules: [{ action: 'allow', destination, ports }],
    });
  });

  it.each([
    '',
    ':443',
    'example.com:0',
    'example.com:65536',
    'example.com:9-8',
    'http://example.com',
    '10.0.0.0/33',
    '300.1.1.1',
    'a..b',
    'fe80::1%lo',
    '[fe80::1%lo]',
    '*.*',
  ])('refuses "%s" by name', (entry) => expect(() => parseAllowList([entry])).toThrow(`"${entry}"`));
});

describe('the cloud form of a policy', () => {
  it('survives the way there and back', () => {
    const policy = parseAllowList(['example.com', '*.example.org:443', '10.0.0.0/8:5432', '*']);
    expect(fromCloudPolicy(networkPolicySchema.parse(toCloudPolicy(policy)))).toEqual(policy);
  });

  it('leaves out rules that say nothing about outgoing TCP, and denies by default', () => {
    const rule = { action: 'allow', destination: 'any' } as const;
    const policy = networkPolicySchema.parse({
      rules: [
        { ...rule, direction: 'ingress' },
        { ...rule, direction: 'egress', protocols: ['udp'] },
        { ...rule, direction: 'any', destination: { group: 'metadata' } },
      ],
    });
    expect(fromCloudPolicy(policy)).toEqual({
      defaultEgress: 'deny',
      rules: [{ action: 'allow', destination: { kind: 'group', group: 'metadata' }, ports: [] }],
    });
  });
});
