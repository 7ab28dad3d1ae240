import { isIPv6 } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { WorkcellError } from '../../../core/errors.ts';
import type { NetworkDestination, NetworkPolicy, NetworkRule } from '../../../core/network-policy.ts';
import type { NetworkSpec } from '../../driver.ts';

/**
 * The flags of `msb create` for a policy; without one the guest reaches nothing.
 *
 * As with our own proxy, an address that is not public must be named by address: a name, `any` or the default opens none.
 * Nothing comes in, and only TCP goes out, beside the runtime's own DNS, which a name needs.
 *
 * Source: superradcompany/microsandbox `crates/cli/lib/net_rule.rs`; rules are tried in order.
 */
export function networkFlags(policy: NetworkPolicy | undefined): string[] {
  const closed = ['--net-default-egress', 'deny', '--net-default-ingress', 'deny'];
  if (policy === undefined) return closed;
  const rules = policy.rules.flatMap(toTokens);
  if (policy.defaultEgress === 'allow') rules.push('allow@public:tcp');
  const opens = rules.some((rule) => rule.startsWith('allow'));
  return [
    ...['--deployment-profile', 'multi-tenant'],
    ...closed,
    ...(opens ? ['allow@dns', ...rules] : rules).flatMap((rule) => ['--net-rule', rule]),
    ...(policy.maxConnections === undefined ? [] : ['--max-connections', String(policy.maxConnections)]),
  ];
}

/** The runtime takes one list of rules. Throws `unsupported` when the policies differ: what both allow is no such list. */
export function onePolicy(network: NetworkSpec | undefined): NetworkPolicy | undefined {
  const [first, ...others] = network?.policies ?? [];
  if (others.every((other) => isDeepStrictEqual({ ...other, maxConnections: 0 }, { ...first, maxConnections: 0 })))
    return others.at(-1) ?? first;
  throw new WorkcellError(
    'unsupported',
    'The driver "microsandbox" cannot apply a network policy beside that of the server; leave the policy of the sandbox out',
  );
}

function toTokens({ action, destination, ports }: NetworkRule): string[] {
  const target = toTarget(destination, action);
  if (ports.length === 0) return [`${action}@${target}:tcp`];
  return ports.map(({ start, end }) => `${action}@${target}:tcp:${start === end ? start : `${start}-${end}`}`);
}

function toTarget(destination: NetworkDestination, action: 'allow' | 'deny'): string {
  switch (destination.kind) {
    case 'any':
      return action === 'allow' ? 'public' : 'any';
    case 'domain':
      return `domain=${destination.name}`;
    case 'suffix':
      return `suffix=${destination.name}`;
    case 'cidr':
      return isIPv6(destination.cidr.split('/')[0] ?? '') ? `[${destination.cidr}]` : destination.cidr;
    case 'group':
      return GROUPS[destination.group];
    default:
      return destination satisfies never;
  }
}

const GROUPS = {
  public: 'public',
  loopback: 'loopback',
  private: 'private',
  link_local: 'link-local',
  metadata: 'meta',
  multicast: 'multicast',
  host: 'host',
} as const;
