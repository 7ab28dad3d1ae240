import { z } from 'zod';
import {
  ADDRESS_GROUPS,
  isCidr,
  isDomainName,
  type NetworkDestination,
  type NetworkPolicy,
} from '../core/network-policy.ts';

const action = z.enum(['allow', 'deny']);
const port = z.int().min(0).max(65_535);
const domainName = z.string().refine((text) => isDomainName(text), 'must be a domain name');
const cidr = z.string().refine((text) => isCidr(text), 'must be an IP address or a CIDR block');

const destinationSchema = z.union([
  z.literal('any'),
  z.strictObject({ cidr }),
  z.strictObject({ domain: domainName }),
  z.strictObject({ domain_suffix: domainName }),
  z.strictObject({ group: z.enum(ADDRESS_GROUPS) }),
]);

/**
 * The policy as the cloud API carries it.
 *
 * Source: superradcompany/microsandbox `docs/api-reference/openapi.json`, `NetworkPolicy`.
 */
export const networkPolicySchema = z.strictObject({
  default_egress: action.default('deny'),
  default_ingress: action.default('deny'),
  rules: z
    .array(
      z.strictObject({
        action,
        direction: z.enum(['egress', 'ingress', 'any']),
        destination: destinationSchema,
        protocols: z.array(z.enum(['tcp', 'udp', 'icmpv4', 'icmpv6'])).default([]),
        ports: z.array(z.strictObject({ start: port, end: port })).default([]),
      }),
    )
    .max(256)
    .default([]),
});

export type CloudNetworkPolicy = z.infer<typeof networkPolicySchema>;

/** Nothing comes in to a guest, and only TCP goes out: rules about anything else have nothing to decide. */
export function fromCloudPolicy(policy: CloudNetworkPolicy): NetworkPolicy {
  const rules = policy.rules.flatMap(({ action, direction, destination, protocols, ports }) => {
    if (direction === 'ingress' || (protocols.length > 0 && !protocols.includes('tcp'))) return [];
    return [{ action, destination: fromCloudDestination(destination), ports }];
  });
  return { defaultEgress: policy.default_egress, rules };
}

/** The same policy for another server of the cloud API. */
export function toCloudPolicy(policy: NetworkPolicy): CloudNetworkPolicy {
  return {
    default_egress: policy.defaultEgress,
    default_ingress: 'deny',
    rules: policy.rules.map(({ action, destination, ports }) => ({
      action,
      direction: 'egress',
      destination: toCloudDestination(destination),
      protocols: ['tcp'],
      ports: ports.map(({ start, end }) => ({ start, end })),
    })),
  };
}

function fromCloudDestination(destination: z.infer<typeof destinationSchema>): NetworkDestination {
  if (destination === 'any') return { kind: 'any' };
  if ('cidr' in destination) return { kind: 'cidr', cidr: destination.cidr };
  if ('domain' in destination) return { kind: 'domain', name: destination.domain.toLowerCase() };
  if ('domain_suffix' in destination) return { kind: 'suffix', name: destination.domain_suffix.toLowerCase() };
  return { kind: 'group', group: destination.group };
}

function toCloudDestination(destination: NetworkDestination): z.infer<typeof destinationSchema> {
  switch (destination.kind) {
    case 'any':
      return 'any';
    case 'domain':
      return { domain: destination.name };
    case 'suffix':
      return { domain_suffix: destination.name };
    case 'cidr':
      return { cidr: destination.cidr };
    case 'group':
      return { group: destination.group };
    default:
      return destination satisfies never;
  }
}
