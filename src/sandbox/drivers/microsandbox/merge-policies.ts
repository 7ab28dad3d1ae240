import { isDeepStrictEqual } from 'node:util';
import { liesIn, publicShare, rangesOf } from '../../../core/address-group.ts';
import { WorkcellError } from '../../../core/errors.ts';
import type { NetworkDestination, NetworkPolicy, NetworkRule, PortRange } from '../../../core/network-policy.ts';

/**
 * Rules, of which the first that matches decides, and nothing is allowed when none does. A name or the group `public` stands
 * for public addresses only; other groups than `public` and `host` are written as their blocks; `any` is only ever denied.
 */
export type PlainRules = readonly NetworkRule[];

/**
 * The one list of rules that allows what all policies allow, because the runtime takes only one. Throws `unsupported` for a
 * pair of rules that has no rule for what they have in common: a name in the one, a block of public addresses in the other.
 */
export function mergePolicies(policies: readonly NetworkPolicy[]): PlainRules {
  return policies
    .map(toPlainRules)
    .reduce((first, second) => (isDeepStrictEqual(first, second) ? first : both(first, second)));
}

function toPlainRules({ rules, defaultEgress }: NetworkPolicy): PlainRules {
  const last: NetworkRule = { action: defaultEgress, destination: { kind: 'any' }, ports: [] };
  const all = defaultEgress === 'allow' ? [...rules, last] : rules;
  return all.flatMap((rule) => toPlainDestinations(rule).map((destination) => ({ ...rule, destination })));
}

function toPlainDestinations({ action, destination }: NetworkRule): NetworkDestination[] {
  if (destination.kind === 'any' && action === 'allow') return [PUBLIC];
  if (destination.kind !== 'group' || destination.group === 'public' || destination.group === 'host')
    return [destination];
  return rangesOf(destination.group).map((cidr) => ({ kind: 'cidr', cidr }));
}

const PUBLIC: NetworkDestination = { kind: 'group', group: 'public' };

/**
 * For each rule of the one, in order, what it has in common with each of the other, in order: so the first that matches is
 * made of the first that matches in each. What a list begins by denying is denied whatever the other says.
 */
function both(first: PlainRules, second: PlainRules): PlainRules {
  const [denied, others] = [denials(first), denials(second)];
  const pairs = first.slice(denied.length).flatMap((one) => {
    if (one.action === 'deny') return [one];
    return second.slice(others.length).flatMap((other) => common(one, other));
  });
  return [...denied, ...others, ...pairs];
}

function denials(rules: PlainRules): PlainRules {
  const end = rules.findIndex(({ action }) => action === 'allow');
  return end === -1 ? rules : rules.slice(0, end);
}

function common(one: NetworkRule, other: NetworkRule): NetworkRule[] {
  const ports = commonPorts(one.ports, other.ports);
  const destination = commonDestination(one.destination, other.destination);
  if (ports === undefined || destination === undefined) return [];
  return [{ action: other.action, destination, ports }];
}

/** Undefined when there are none; an empty list is every port. */
function commonPorts(one: readonly PortRange[], other: readonly PortRange[]): readonly PortRange[] | undefined {
  if (one.length === 0) return other;
  if (other.length === 0) return one;
  const ranges = one.flatMap((a) =>
    other.map((b) => ({ start: Math.max(a.start, b.start), end: Math.min(a.end, b.end) })),
  );
  const shared = ranges.filter(({ start, end }) => start <= end);
  return shared.length === 0 ? undefined : shared;
}

/** Undefined when they have nothing in common. */
function commonDestination(one: NetworkDestination, other: NetworkDestination): NetworkDestination | undefined {
  if (other.kind === 'any' || includes(other, one)) return one;
  if (includes(one, other)) return other;
  if (one.kind === 'cidr' && other.kind !== 'cidr') return commonDestination(other, one);
  if (other.kind !== 'cidr' || one.kind === 'cidr' || isHost(one)) return undefined;
  // What is left is a name, or all public addresses, and a block of addresses.
  if (publicShare(other.cidr) === 'none') return undefined;
  throw new WorkcellError(
    'unsupported',
    `The driver "microsandbox" has no rule for what ${describe(one)} and ${other.cidr} have in common; let the policies of server and sandbox name the same`,
  );
}

/** Whether every place of the second is one of the first, as far as that shows. */
function includes(outer: NetworkDestination, inner: NetworkDestination): boolean {
  switch (outer.kind) {
    case 'any':
      return true;
    case 'domain':
      return inner.kind === 'domain' && inner.name === outer.name;
    case 'suffix':
      return isNamed(inner) && (inner.name === outer.name || inner.name.endsWith(`.${outer.name}`));
    case 'cidr':
      return inner.kind === 'cidr' && liesIn(inner.cidr, outer.cidr);
    case 'group':
      if (inner.kind === 'group') return inner.group === outer.group;
      if (isHost(outer)) return false;
      return isNamed(inner) || (inner.kind === 'cidr' && publicShare(inner.cidr) === 'all');
    default:
      return outer satisfies never;
  }
}

function isHost(destination: NetworkDestination): boolean {
  return destination.kind === 'group' && destination.group === 'host';
}

function isNamed(destination: NetworkDestination): destination is NetworkDestination & { readonly name: string } {
  return destination.kind === 'domain' || destination.kind === 'suffix';
}

function describe(destination: NetworkDestination): string {
  return isNamed(destination) ? `"${destination.name}"` : 'all public addresses';
}
