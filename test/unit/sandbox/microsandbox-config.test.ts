import { describe, expect, it } from 'vitest';
import { OTHER_SPECIAL } from '../../../src/core/address-group.ts';
import type { NetworkDestination, NetworkPolicy } from '../../../src/core/network-policy.ts';
import type { GuestSpec } from '../../../src/sandbox/driver.ts';
import {
  guestConfig,
  mountFlags,
  secretFlags,
  secretVariables,
} from '../../../src/sandbox/drivers/microsandbox/guest-config.ts';
import { networkFlags } from '../../../src/sandbox/drivers/microsandbox/network-rules.ts';
import { Secret } from '../../../src/util/secret.ts';

const CLOSED = ['--net-default-egress', 'deny', '--net-default-ingress', 'deny'];
const flagsOf = (...policies: NetworkPolicy[]) => networkFlags({ policies });
/** Without those for the addresses that the runtime would take for public. */
const rulesOf = (...policies: NetworkPolicy[]) => {
  const flags = flagsOf(...policies);
  return flags.filter((flag, index) => flags[index - 1] === '--net-rule' && !SPECIAL.includes(flag));
};
const SPECIAL = OTHER_SPECIAL.map((cidr) => `deny@${cidr.includes(':') ? `[${cidr}]` : cidr}:tcp`);
const allow = (...destinations: NetworkDestination[]): NetworkPolicy => ({
  defaultEgress: 'deny',
  rules: destinations.map((destination) => ({ action: 'allow', destination, ports: [] })),
});
const cidr = (block: string): NetworkDestination => ({ kind: 'cidr', cidr: block });
const domain = (name: string): NetworkDestination => ({ kind: 'domain', name });
const ANY: NetworkDestination = { kind: 'any' };

describe('the network flags of a guest of Microsandbox', () => {
  it('close everything when there is no policy', () => {
    expect(networkFlags(undefined)).toEqual(CLOSED);
  });

  it('close everything, names too, when a policy allows nothing', () => {
    const deny = { action: 'deny', destination: ANY, ports: [] } as const;
    const flags = flagsOf({ defaultEgress: 'deny', rules: [deny] });
    expect(flags).toEqual(['--deployment-profile', 'multi-tenant', ...CLOSED, '--net-rule', 'deny@any']);
  });

  it('keep the order of the rules, with a rule for each range of ports', () => {
    const ports = [
      { start: 443, end: 443 },
      { start: 8000, end: 8100 },
    ];
    const rules = rulesOf({
      defaultEgress: 'deny',
      rules: [
        { action: 'deny', destination: domain('bad.example.com'), ports: [] },
        { action: 'allow', destination: { kind: 'suffix', name: 'example.com' }, ports },
        { action: 'allow', destination: cidr('10.0.0.0/8'), ports: [] },
        { action: 'allow', destination: cidr('2001:db8::/32'), ports: [] },
        { action: 'deny', destination: { kind: 'group', group: 'link_local' }, ports: [] },
      ],
    });
    expect(rules).toEqual([
      'deny@domain=bad.example.com:tcp',
      'allow@suffix=example.com:tcp:443',
      'allow@suffix=example.com:tcp:8000-8100',
      'allow@10.0.0.0/8:tcp',
      'allow@[2001:db8::/32]:tcp',
      'deny@169.254.0.0/16:tcp',
      'deny@[fe80::/10]:tcp',
    ]);
  });

  it('open no address that is not public for `any` and for the default', () => {
    expect(rulesOf(allow(ANY))).toEqual(['allow@dns', 'allow@public:tcp']);
    expect(rulesOf({ defaultEgress: 'allow', rules: [] })).toEqual(['allow@dns', 'allow@public:tcp']);
    const flags = flagsOf(allow(ANY));
    for (const rule of SPECIAL) expect(flags.indexOf(rule)).toBeGreaterThan(0);
    expect(flags.lastIndexOf('--net-rule')).toBe(flags.indexOf('allow@public:tcp') - 1);
  });

  it('let every name be looked up only where any public address may be reached', () => {
    expect(rulesOf(allow(domain('api.example.com'), cidr('93.184.0.0/16')))).toEqual([
      'allow@domain=api.example.com:tcp',
      'allow@93.184.0.0/16:tcp',
    ]);
    expect(rulesOf(allow(domain('api.example.com'), ANY))).toEqual([
      'allow@domain=api.example.com:tcp',
      'allow@dns',
      'allow@public:tcp',
    ]);
  });

  it("keep the runtime's own floor unless an address that is not public is named", () => {
    expect(flagsOf(allow(ANY, domain('a.example')))).toContain('multi-tenant');
    for (const block of ['10.1.2.3', '169.254.169.254/32', '0.0.0.0/0'])
      expect(flagsOf(allow(cidr(block)))).not.toContain('multi-tenant');
  });

  it('take the lowest of the limits, and what is strict', () => {
    const limited = networkFlags({
      policies: [
        { ...allow(ANY), maxConnections: 7 },
        { ...allow(ANY), maxConnections: 5 },
      ],
      strict: true,
    });
    expect(limited.slice(-3)).toEqual(['--max-connections', '5', '--net-strict']);
  });

  it.each([
    ["the guest's own addresses", allow(cidr('127.0.0.1')), /127\.0\.0\.1.*host\.microsandbox\.internal/],
    ['a suffix of one label', allow({ kind: 'suffix', name: 'internal' }), /"\*\.internal"/],
    ['special addresses after public ones', allow(ANY, cidr('198.18.5.0/24')), /198\.18\.5\.0\/24.*before/],
    ['too many rules', allow(...Array.from({ length: 9999 }, (_, n) => domain(`${n}.example`))), /9999 network rules/],
  ])('refuse %s', (_what, policy, message) => {
    expect(() => flagsOf(policy)).toThrow(
      expect.objectContaining({ code: 'unsupported', message: expect.stringMatching(message) }),
    );
  });
});

describe('the configuration of a guest of Microsandbox', () => {
  const options = { readonly: true, noexec: false, nosuid: true, nodev: true };
  const spec: GuestSpec = {
    id: 'id',
    hostname: 'name',
    image: { kind: 'directory', path: '/srv/images/secret-place' },
    cpus: 2,
    memoryMib: 512,
    mounts: [
      { kind: 'tmpfs', target: '/small', sizeMib: 5, options },
      { kind: 'directory', path: '/srv/customers/acme', target: '/workspace', options },
    ],
    env: ['A=b=c', 'EMPTY='],
    workdir: '/workspace',
  };

  it('names what is in the jail, and no path of the host', () => {
    const config = guestConfig(spec);
    expect(config).toMatchObject({
      image: { bind: '/image/root' },
      cpus: 2,
      memory: '512M',
      env: { A: 'b=c', EMPTY: '' },
      mounts: [{ tmpfs: { size: '5M' }, target: '/small', readonly: true }],
    });
    expect(mountFlags(spec)).toEqual([
      '--mount-dir',
      '/mounts/1:/workspace:ro,nodev,nosuid,stat-virt=relaxed,host-perms=mirror,quota=2147483647M',
    ]);
    expect(JSON.stringify(config)).not.toContain('/srv');
  });

  it('leaves no reference for its reader to replace', () => {
    const dollar = '$';
    const { env } = guestConfig({ ...spec, env: [`A=${dollar}{MSB_API_KEY}`] });
    expect(env).toEqual({ A: `${dollar}{WORKCELL_DOLLAR}{MSB_API_KEY}` });
  });

  it("mounts the host's programs for the image `host`, read-only, and for no other", () => {
    const { mounts } = guestConfig({ ...spec, image: { kind: 'host' } }, ['/usr']);
    expect(mounts).toMatchObject([{ bind: '/usr', target: '/usr', readonly: true }, { target: '/small' }]);
    expect(guestConfig(spec, ['/usr'])['mounts']).toHaveLength(1);
  });

  it('pulls nothing by itself', () => {
    const config = guestConfig({ ...spec, image: { kind: 'oci', reference: 'alpine:3' } });
    expect(config).toMatchObject({ image: { oci: 'alpine:3' }, pull_policy: 'never' });
  });

  it('bounds what a guest adds to a folder by the quota of its mount', () => {
    const mount = { kind: 'directory', path: '/srv/a', target: '/a', options, quotaMib: 3 } as const;
    expect(mountFlags({ ...spec, mounts: [mount] })[1]).toMatch(/^\/mounts\/0:\/a:ro,.*,quota=3M$/);
  });

  it.each([':', ';', ','])('refuses a path of a mount that holds "%s", which would be read as options', (character) => {
    const mount = { kind: 'directory', path: '/srv/a', target: `/a${character}quota=9G`, options } as const;
    expect(() => mountFlags({ ...spec, mounts: [mount] })).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it('names the variables of secrets; their values are in none of it', () => {
    const entry = { hosts: ['api.example.com'], inject: ['headers'], requiresTls: false } as const;
    const secrets = {
      onViolation: 'block',
      entries: [
        { ...entry, name: 'TOKEN', value: new Secret('of a customer') },
        { ...entry, name: 'OTHER', value: new Secret('of another') },
      ],
    } as const;
    const guest = { ...spec, secrets };
    expect(guestConfig(guest)['secrets']).toEqual({
      TOKEN: {
        value: '$'.concat('{WORKCELL_SECRET_0}'),
        allow: ['api.example.com'],
        inject: ['headers'],
        require_tls_identity: false,
      },
      OTHER: expect.objectContaining({ value: '$'.concat('{WORKCELL_SECRET_1}') }),
    });
    expect(secretVariables(guest)).toEqual([
      ['WORKCELL_SECRET_0', secrets.entries[0].value],
      ['WORKCELL_SECRET_1', secrets.entries[1].value],
    ]);
    expect(JSON.stringify(guestConfig(guest))).not.toMatch(/of a customer|of another/);
    expect(secretFlags(guest)).toEqual(['--on-secret-violation', 'block']);
    expect([secretVariables(spec), secretFlags(spec)]).toEqual([[], []]);
  });
});
