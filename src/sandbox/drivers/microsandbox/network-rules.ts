import { isIPv6 } from 'node:net';
import { liesIn, OTHER_SPECIAL, publicShare, rangesOf } from '../../../core/address-group.ts';
import { WorkcellError } from '../../../core/errors.ts';
import type { NetworkDestination, NetworkRule } from '../../../core/network-policy.ts';
import type { NetworkSpec } from '../../driver.ts';
import { mergePolicies, type PlainRules } from './merge-policies.ts';

/** So many characters of rules fit into the command that boots a guest. */
const MAX_LENGTH = 64 * 1024;

/**
 * The flags of `msb create` for a network; without one the guest reaches nothing.
 *
 * As with our own proxy, an address that is not public must be named by address: a name, `any` or the default opens none; and
 * a name that no rule could allow is not looked up. Nothing comes in, and only TCP goes out, beside the runtime's own DNS.
 * Throws `unsupported` for a rule that the runtime has no equal for.
 *
 * Source: superradcompany/microsandbox `crates/cli/lib/net_rule.rs` and `crates/network/lib/policy`; rules are tried in order.
 */
export function networkFlags(network: NetworkSpec | undefined): string[] {
  const closed = ['--net-default-egress', 'deny', '--net-default-ingress', 'deny'];
  if (network === undefined) return closed;
  const rules = mergePolicies(network.policies);
  const tokens = toTokens(rules);
  if (tokens.join(' ').length > MAX_LENGTH)
    throw unsupported(`${tokens.length} network rules in one sandbox`, 'write fewer, with suffixes and CIDR blocks');
  const limits = network.policies.flatMap(({ maxConnections }) => maxConnections ?? []);
  return [
    // On top of the rules it closes everything that is not public.
    ...(opensOnlyPublic(rules) ? ['--deployment-profile', 'multi-tenant'] : []),
    ...closed,
    ...tokens.flatMap((token) => ['--net-rule', token]),
    ...(limits.length === 0 ? [] : ['--max-connections', String(Math.min(...limits))]),
    ...(network.strict === true ? ['--net-strict'] : []),
  ];
}

function opensOnlyPublic(rules: PlainRules): boolean {
  return rules.every(({ action, destination }) => {
    if (action === 'deny') return true;
    if (destination.kind === 'cidr') return publicShare(destination.cidr) === 'all';
    return destination.kind !== 'group' || destination.group === 'public';
  });
}

function toTokens(rules: PlainRules): string[] {
  const opening = rules.findIndex(isAllPublic);
  return rules.flatMap((rule, index) => [
    ...(index === opening ? beforePublic(rules.slice(opening)) : []),
    ...toTokensOfOne(rule),
  ]);
}

function isAllPublic({ action, destination }: NetworkRule): boolean {
  return action === 'allow' && destination.kind === 'group' && destination.group === 'public';
}

/** Any name may have a public address; and the runtime takes addresses for public that are not. */
function beforePublic(rules: PlainRules): string[] {
  for (const { action, destination } of rules) {
    if (action === 'deny' || destination.kind !== 'cidr') continue;
    const { cidr } = destination;
    if (OTHER_SPECIAL.some((range) => liesIn(cidr, range) || liesIn(range, cidr)))
      throw unsupported(`a rule for ${cidr} after one for all public addresses`, 'put it before that one');
  }
  return ['allow@dns', ...OTHER_SPECIAL.map((cidr) => `deny@${toAddress(cidr)}:tcp`)];
}

function toTokensOfOne({ action, destination, ports }: NetworkRule): string[] {
  const target = `${action}@${toTarget(destination, action)}`;
  // Without a protocol it covers the guest's DNS, too.
  if (destination.kind === 'any' && ports.length === 0) return [target];
  if (ports.length === 0) return [`${target}:tcp`];
  return ports.map(({ start, end }) => `${target}:tcp:${start === end ? start : `${start}-${end}`}`);
}

function toTarget(destination: NetworkDestination, action: NetworkRule['action']): string {
  switch (destination.kind) {
    case 'any':
      return 'any';
    case 'domain':
      return `domain=${destination.name}`;
    case 'suffix':
      if (destination.name.includes('.')) return `suffix=${destination.name}`;
      throw unsupported(`a rule for "*.${destination.name}"`, 'name at least one label more');
    case 'cidr':
      if (action === 'allow' && rangesOf('loopback').some((range) => liesIn(destination.cidr, range)))
        throw unsupported(
          `a rule for ${destination.cidr}`,
          'that is the guest itself here; give the service an address of its own, or allow the group "host", which guests know as host.microsandbox.internal',
        );
      return toAddress(destination.cidr);
    case 'group':
      return destination.group;
    default:
      return destination satisfies never;
  }
}

function toAddress(cidr: string): string {
  return isIPv6(cidr.split('/')[0] ?? '') ? `[${cidr}]` : cidr;
}

function unsupported(what: string, instead: string): WorkcellError {
  return new WorkcellError('unsupported', `The driver "microsandbox" cannot apply ${what}: ${instead}`);
}
