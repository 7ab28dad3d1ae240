import { isIP, isIPv6 } from 'node:net';
import { WorkcellError } from './errors.ts';

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

/** Ports of an entry that names none. */
const WEB_PORTS: readonly PortRange[] = [
  { start: 80, end: 80 },
  { start: 443, end: 443 },
];

/**
 * The policy of a list such as `example.com`, `*.example.com:443`, `10.0.0.0/8:5432`, `[2001:db8::]/32:8000-8100`, `*`: what is
 * on it is allowed, nothing else. Without ports, 80 and 443. `*` is every public address. Throws `invalid_argument` that
 * names the entry.
 */
export function parseAllowList(entries: readonly string[]): NetworkPolicy {
  return { defaultEgress: 'deny', rules: entries.map(parseEntry) };
}

function parseEntry(entry: string): NetworkRule {
  const [, place = '', ports] = /^(\[[^\]]*\](?:\/\d+)?|[^:]*)(?::(\d+(?:-\d+)?))?$/.exec(entry.trim()) ?? [];
  const destination = parseDestination(place.replace(/[[\]]/g, ''));
  const range = ports === undefined ? WEB_PORTS : parsePorts(ports);
  if (destination !== undefined && range !== undefined) return { action: 'allow', destination, ports: range };
  throw new WorkcellError(
    'invalid_argument',
    `"${entry}" is not a destination; write a domain, *.domain, an address, a CIDR block or *, and :port or :port-port if need be`,
  );
}

function parseDestination(text: string): NetworkDestination | undefined {
  if (text === '*') return { kind: 'group', group: 'public' };
  if (isCidr(text)) return { kind: 'cidr', cidr: text };
  const wildcard = text.startsWith('*.');
  const name = wildcard ? text.slice(2) : text;
  // What looks like an address and is none must not become a name.
  if (!isDomainName(name) || /^[\d.]+$/.test(name)) return undefined;
  return { kind: wildcard ? 'suffix' : 'domain', name: name.toLowerCase() };
}

function parsePorts(text: string): readonly PortRange[] | undefined {
  const [start = Number.NaN, end = start] = text.split('-').map(Number);
  return start >= 1 && start <= end && end <= 65_535 ? [{ start, end }] : undefined;
}

/** Whether it can be a domain name: labels of letters, digits, `-` and `_`. */
export function isDomainName(text: string): boolean {
  const label = '[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?';
  return text.length <= 253 && new RegExp(`^${label}(\\.${label})*$`).test(text);
}

/** Whether it is an IP address or a CIDR block. */
export function isCidr(text: string): boolean {
  const [address = '', bits] = text.split('/');
  // A zone (`%eth0`) is a matter of one host's links, and no part of a block.
  if (isIP(address) === 0 || address.includes('%') || text.split('/').length > 2) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (isIPv6(address) ? 128 : 32));
}
