import { describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../../src/core/network-policy.ts';
import type { GuestSpec } from '../../../src/sandbox/driver.ts';
import { guestConfig } from '../../../src/sandbox/drivers/microsandbox/guest-config.ts';
import { networkFlags } from '../../../src/sandbox/drivers/microsandbox/network-rules.ts';

const CLOSED = ['--net-default-egress', 'deny', '--net-default-ingress', 'deny'];
const rulesOf = (policy: NetworkPolicy) => {
  const flags = networkFlags(policy);
  return flags.filter((_, index) => flags[index - 1] === '--net-rule');
};

describe('the network flags of a guest of Microsandbox', () => {
  it('close everything when there is no policy', () => {
    expect(networkFlags(undefined)).toEqual(CLOSED);
  });

  it('close everything, names too, when a policy allows nothing', () => {
    const deny = { action: 'deny', destination: { kind: 'any' }, ports: [] } as const;
    expect(networkFlags({ defaultEgress: 'deny', rules: [deny] })).toEqual(expect.arrayContaining(CLOSED));
    expect(rulesOf({ defaultEgress: 'deny', rules: [deny] })).toEqual(['deny@any:tcp']);
  });

  it('keep the order of the rules, with a rule for each range of ports', () => {
    const ports = [
      { start: 443, end: 443 },
      { start: 8000, end: 8100 },
    ];
    const rules = rulesOf({
      defaultEgress: 'deny',
      rules: [
        { action: 'deny', destination: { kind: 'domain', name: 'bad.example.com' }, ports: [] },
        { action: 'allow', destination: { kind: 'suffix', name: 'example.com' }, ports },
        { action: 'allow', destination: { kind: 'cidr', cidr: '10.0.0.0/8' }, ports: [] },
        { action: 'allow', destination: { kind: 'cidr', cidr: '2001:db8::/32' }, ports: [] },
        { action: 'deny', destination: { kind: 'group', group: 'link_local' }, ports: [] },
      ],
    });
    expect(rules).toEqual([
      'allow@dns',
      'deny@domain=bad.example.com:tcp',
      'allow@suffix=example.com:tcp:443',
      'allow@suffix=example.com:tcp:8000-8100',
      'allow@10.0.0.0/8:tcp',
      'allow@[2001:db8::/32]:tcp',
      'deny@link-local:tcp',
    ]);
  });

  it('open no address that is not public for `any` and for the default', () => {
    const any = { action: 'allow', destination: { kind: 'any' }, ports: [] } as const;
    expect(rulesOf({ defaultEgress: 'deny', rules: [any] })).toEqual(['allow@dns', 'allow@public:tcp']);
    const flags = networkFlags({ defaultEgress: 'allow', rules: [], maxConnections: 7 });
    expect(flags).toEqual(expect.arrayContaining([...CLOSED, '--max-connections', '7']));
    expect(rulesOf({ defaultEgress: 'allow', rules: [] })).toEqual(['allow@dns', 'allow@public:tcp']);
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
      mounts: [
        { tmpfs: { size: '5M' }, target: '/small', readonly: true },
        { bind: '/mounts/1', target: '/workspace', readonly: true },
      ],
    });
    expect(JSON.stringify(config)).not.toContain('/srv');
  });

  it('leaves no reference for its reader to replace', () => {
    const dollar = '$';
    const { env } = guestConfig({ ...spec, env: [`A=${dollar}{MSB_API_KEY}`] });
    expect(env).toEqual({ A: `${dollar}{WORKCELL_DOLLAR}{MSB_API_KEY}` });
  });

  it("mounts the host's programs for the image `host`, read-only, and for no other", () => {
    const { mounts } = guestConfig({ ...spec, image: { kind: 'host' } }, ['/usr']);
    expect(mounts).toMatchObject([{ bind: '/usr', target: '/usr', readonly: true }, { target: '/small' }, {}]);
    expect(guestConfig(spec, ['/usr'])['mounts']).toHaveLength(2);
  });

  it('pulls nothing by itself', () => {
    const config = guestConfig({ ...spec, image: { kind: 'oci', reference: 'alpine:3' } });
    expect(config).toMatchObject({ image: { oci: 'alpine:3' }, pull_policy: 'never' });
  });
});
