import { isIP, isIPv6 } from 'node:net';
import { z } from 'zod';

/**
 * What a guest may reach: rules in order, the first that matches decides, then the default.
 *
 * Source: superradcompany/microsandbox `docs/api-reference/openapi.json`, `NetworkPolicy`; the egress half of it.
 */
export interface NetworkPolicy {
  readonly defaultEgress: 'allow' | 'deny';
  readonly rules: readonly NetworkRule[];
  /** Connections at once; undefined leaves it to the proxy. */
  readonly maxConnections?: number;
}

export interface NetworkRule {
  readonly action: 'allow' | 'deny';
  readonly destination: NetworkDestination;
  /** Empty: every port. Both ends inclusive. */
  readonly ports: readonly PortRange[];
}

export interface PortRange {
  readonly start: number;
  readonly end: number;
}

export type NetworkDestination =
  | { readonly kind: 'any' }
  | { readonly kind: 'domain'; readonly name: string }
  /** The name itself and everything below it. */
  | { readonly kind: 'suffix'; readonly name: string }
  | { readonly kind: 'cidr'; readonly cidr: string }
  | { readonly kind: 'group'; readonly group: AddressGroup };

export const ADDRESS_GROUPS = ['public', 'loopback', 'private', 'link_local', 'metadata', 'multicast', 'host'] as const;
export type AddressGroup = (typeof ADDRESS_GROUPS)[number];

const action = z.enum(['allow', 'deny']);
const port = z.int().min(0).max(65_535);
const domainName = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/);
const cidr = z.string().refine((text) => isCidr(text), 'must be an IP address or a CIDR block');

const destinationSchema = z.union([
  z.literal('any'),
  z.strictObject({ cidr }),
  z.strictObject({ domain: domainName }),
  z.strictObject({ domain_suffix: domainName }),
  z.strictObject({ group: z.enum(ADDRESS_GROUPS) }),
]);

/** The policy as the cloud API carries it. */
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
export function fromCloudPolicy(policy: CloudNetworkPolicy, maxConnections?: number | null): NetworkPolicy {
  const rules = policy.rules.flatMap(({ action, direction, destination, protocols, ports }) => {
    if (direction === 'ingress' || (protocols.length > 0 && !protocols.includes('tcp'))) return [];
    return [{ action, destination: fromCloudDestination(destination), ports }];
  });
  return { defaultEgress: policy.default_egress, rules, ...(maxConnections ? { maxConnections } : {}) };
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

/** Ports of an entry that names none. */
const WEB_PORTS: readonly PortRange[] = [
  { start: 80, end: 80 },
  { start: 443, end: 443 },
];

/**
 * The policy of a list such as `example.com`, `*.example.com:443`, `10.0.0.0/8:5432`, `[2001:db8::]/32:8000-8100`, `*`: what is
 * on it is allowed, nothing else. Without ports, 80 and 443. `*` is every public address. Throws a RangeError that names
 * the entry.
 */
export function parseAllowList(entries: readonly string[]): NetworkPolicy {
  return { defaultEgress: 'deny', rules: entries.map(parseEntry) };
}

function parseEntry(entry: string): NetworkRule {
  const [, place = '', ports] = /^(\[[^\]]*\](?:\/\d+)?|[^:]*)(?::(\d+(?:-\d+)?))?$/.exec(entry.trim()) ?? [];
  const destination = parseDestination(place.replace(/[[\]]/g, ''));
  const range = ports === undefined ? WEB_PORTS : parsePorts(ports);
  if (destination !== undefined && range !== undefined) return { action: 'allow', destination, ports: range };
  throw new RangeError(
    `"${entry}" is not a destination; write a domain, *.domain, an address, a CIDR block or *, and :port or :port-port if need be`,
  );
}

function parseDestination(text: string): NetworkDestination | undefined {
  if (text === '*') return { kind: 'group', group: 'public' };
  if (isCidr(text)) return { kind: 'cidr', cidr: text };
  const wildcard = text.startsWith('*.');
  const name = domainName.safeParse(wildcard ? text.slice(2) : text);
  // What looks like an address and is none must not become a name.
  if (!name.success || /^[\d.]+$/.test(name.data)) return undefined;
  return { kind: wildcard ? 'suffix' : 'domain', name: name.data.toLowerCase() };
}

function parsePorts(text: string): readonly PortRange[] | undefined {
  const [start = Number.NaN, end = start] = text.split('-').map(Number);
  return start >= 1 && start <= end && end <= 65_535 ? [{ start, end }] : undefined;
}

function isCidr(text: string): boolean {
  const [address = '', bits] = text.split('/');
  if (isIP(address) === 0 || text.split('/').length > 2) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (isIPv6(address) ? 128 : 32));
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
