import { isInCidr, isInGroup } from '../../core/address-group.ts';
import type { NetworkDestination, NetworkPolicy, NetworkRule } from '../../core/network-policy.ts';

/**
 * Whether a name may be looked up at all. A name that no rule could allow is not: asking for it would already carry
 * something out.
 */
export function mayResolve(policy: NetworkPolicy, name: string, port: number): boolean {
  for (const rule of policy.rules) {
    if (!coversPort(rule, port)) continue;
    const { destination, action } = rule;
    const byName = destination.kind === 'any' || isNamed(destination, name);
    // Which addresses it has is not known yet; those are judged when it is.
    const byAddress = destination.kind === 'group' && destination.group === 'public' && action === 'allow';
    if (byName || byAddress) return action === 'allow';
  }
  return policy.defaultEgress === 'allow';
}

/**
 * Whether a connection to this address is allowed; `name` is what was asked for, when it was not the address itself.
 *
 * An address that is not public must be named by address (a CIDR block, or a group): a name, `any` or the default does not
 * open it, so that nobody reaches inside by a DNS answer of his own.
 */
export function mayConnect(policy: NetworkPolicy, name: string | undefined, address: string, port: number): boolean {
  const isPublic = isInGroup(address, 'public');
  for (const rule of policy.rules) {
    if (!coversPort(rule, port) || !covers(rule.destination, name, address)) continue;
    if (rule.action === 'deny') return false;
    if (isPublic || rule.destination.kind === 'cidr' || rule.destination.kind === 'group') return true;
  }
  return isPublic && policy.defaultEgress === 'allow';
}

function covers(destination: NetworkDestination, name: string | undefined, address: string): boolean {
  switch (destination.kind) {
    case 'any':
      return true;
    case 'cidr':
      return isInCidr(address, destination.cidr);
    case 'group':
      return isInGroup(address, destination.group);
    default:
      return name !== undefined && isNamed(destination, name);
  }
}

function isNamed(destination: NetworkDestination, name: string): boolean {
  const asked = name.toLowerCase().replace(/\.$/, '');
  if (destination.kind === 'domain') return asked === destination.name;
  return destination.kind === 'suffix' && (asked === destination.name || asked.endsWith(`.${destination.name}`));
}

function coversPort({ ports }: NetworkRule, port: number): boolean {
  return ports.length === 0 || ports.some(({ start, end }) => port >= start && port <= end);
}
