import { BlockList, isIPv6 } from 'node:net';
import type { AddressGroup } from './network-policy.ts';

/** The instance metadata services of clouds. */
const METADATA = ['169.254.169.254/32', '169.254.170.2/32', 'fd00:ec2::254/128', '100.100.100.200/32'];

// IANA's special-purpose address registries (RFC 6890 and its updates).
const RANGES: { readonly [Group in Exclude<AddressGroup, 'public' | 'host'>]: readonly string[] } = {
  loopback: ['127.0.0.0/8', '::1/128'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'],
  link_local: ['169.254.0.0/16', 'fe80::/10'],
  metadata: METADATA,
  multicast: ['224.0.0.0/4', 'ff00::/8'],
};
/** Of no group, and no public addresses either. */
export const OTHER_SPECIAL: readonly string[] = [
  ...['0.0.0.0/8', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '198.18.0.0/15', '198.51.100.0/24'],
  ...['203.0.113.0/24', '240.0.0.0/4', '::/128', '64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '2001::/23'],
  ...['2001:db8::/32', '2002::/16', '3fff::/20', 'fec0::/10'],
];

const ALL_SPECIAL = [...Object.values(RANGES).flat(), ...OTHER_SPECIAL];
const LISTS = Object.fromEntries(Object.entries(RANGES).map(([group, ranges]) => [group, listOf(ranges)]));
const SPECIAL = listOf(ALL_SPECIAL);

/** Whether an address belongs to a group of the network policy; `host`, the machine that runs the guest, is its loopback. */
export function isInGroup(address: string, group: AddressGroup): boolean {
  const plain = unmapped(address);
  if (group === 'public') return !matches(SPECIAL, plain);
  return matches(LISTS[group === 'host' ? 'loopback' : group], plain);
}

/** Whether a CIDR block, or a single address, covers an address. */
export function isInCidr(address: string, cidr: string): boolean {
  return matches(listOf([cidr]), unmapped(address));
}

/** The CIDR blocks of a group that is not `public`. */
export function rangesOf(group: Exclude<AddressGroup, 'public'>): readonly string[] {
  return RANGES[group === 'host' ? 'loopback' : group];
}

/** Whether the one CIDR block, or address, lies in the other. */
export function liesIn(inner: string, outer: string): boolean {
  const [address = ''] = inner.split('/');
  return bitsOf(inner) >= bitsOf(outer) && isInCidr(address, outer);
}

/** Whether all, none or some of the addresses of a CIDR block are public. */
export function publicShare(cidr: string): 'all' | 'none' | 'some' {
  if (ALL_SPECIAL.some((range) => liesIn(cidr, range))) return 'none';
  return ALL_SPECIAL.some((range) => liesIn(range, cidr)) ? 'some' : 'all';
}

function bitsOf(cidr: string): number {
  const [address = '', bits] = cidr.split('/');
  return bits === undefined ? (isIPv6(address) ? 128 : 32) : Number(bits);
}

function matches(list: BlockList | undefined, address: string): boolean {
  return list?.check(address, isIPv6(address) ? 'ipv6' : 'ipv4') ?? false;
}

/** An IPv4 address in IPv6 clothes is that IPv4 address. */
function unmapped(address: string): string {
  if (!isIPv6(address)) return address;
  const { hostname } = new URL(`http://[${address.split('%')[0]}]`);
  const [, high, low] = /^\[::ffff:([\da-f]{1,4}):([\da-f]{1,4})\]$/.exec(hostname) ?? [];
  if (high === undefined || low === undefined) return hostname.slice(1, -1);
  const words = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return words.flatMap((word) => [word >> 8, word & 255]).join('.');
}

function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    list.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family);
  }
  return list;
}
