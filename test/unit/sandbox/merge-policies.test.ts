import { describe, expect, it } from 'vitest';
import { isInGroup } from '../../../src/core/address-group.ts';
import {
  ADDRESS_GROUPS,
  type NetworkDestination,
  type NetworkPolicy,
  type NetworkRule,
  parseAllowList,
} from '../../../src/core/network-policy.ts';
import { mergePolicies } from '../../../src/sandbox/drivers/microsandbox/merge-policies.ts';
import { mayConnect } from '../../../src/sandbox/egress/decide-egress.ts';

const ANY: NetworkDestination = { kind: 'any' };
const PUBLIC: NetworkDestination = { kind: 'group', group: 'public' };
const rule = (
  action: 'allow' | 'deny',
  destination: NetworkDestination,
  ...ports: readonly (readonly [number, number])[]
): NetworkRule => ({ action, destination, ports: ports.map(([start, end]) => ({ start, end })) });
const policy = (...rules: NetworkRule[]): NetworkPolicy => ({ defaultEgress: 'deny', rules });
const cidr = (block: string): NetworkDestination => ({ kind: 'cidr', cidr: block });
const domain = (name: string): NetworkDestination => ({ kind: 'domain', name });
const suffix = (name: string): NetworkDestination => ({ kind: 'suffix', name });

describe('the policy of the server and that of a sandbox', () => {
  it('are one list with the names of the one when the other allows what is public', () => {
    const server = parseAllowList(['*', '10.0.0.0/8:5432']);
    // What the stock clients send when nobody has asked for anything.
    const usual = policy(
      rule('allow', { kind: 'group', group: 'host' }, [53, 53]),
      rule('allow', domain('api.example.com')),
    );
    expect(mergePolicies([server, usual])).toEqual([rule('allow', domain('api.example.com'), [80, 80], [443, 443])]);
  });

  it('deny first what either denies first', () => {
    const merged = mergePolicies([
      policy(rule('deny', cidr('93.0.0.0/8')), rule('allow', domain('a.example'))),
      policy(rule('deny', domain('b.a.example')), rule('allow', suffix('a.example'))),
    ]);
    expect(merged).toEqual([
      rule('deny', cidr('93.0.0.0/8')),
      rule('deny', domain('b.a.example')),
      rule('allow', domain('a.example')),
    ]);
  });

  it('are that policy when they are the same', () => {
    const list = parseAllowList(['a.example', '93.0.0.0/8', '*']);
    expect(mergePolicies([list, { ...list, maxConnections: 5 }])).toEqual(list.rules);
  });

  it('are refused when a name in the one meets public addresses in the other', () => {
    const [named, block] = [policy(rule('allow', domain('a.example'))), policy(rule('allow', cidr('93.0.0.0/8')))];
    for (const both of [
      [named, block],
      [block, named],
      [policy(rule('allow', PUBLIC)), policy(rule('allow', cidr('0.0.0.0/0')))],
    ])
      expect(() => mergePolicies(both)).toThrow(
        expect.objectContaining({ code: 'unsupported', message: expect.stringContaining('have in common') }),
      );
  });

  it('allow together what both of them allow, and nothing else', () => {
    const random = randomNumbers(7);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const destinations = [
      ...[ANY, PUBLIC, domain('a.example'), domain('b.a.example'), suffix('a.example'), suffix('example')],
      ...['10.0.0.0/8', '10.1.0.0/16', '169.254.169.254', '93.184.0.0/16', '93.184.216.0/24', 'fd00::/8'].map(cidr),
      // The guest's own loopback and its host are two places here; as a destination the one is refused.
      ...ADDRESS_GROUPS.filter((group) => group !== 'loopback').map((group) => ({ kind: 'group', group }) as const),
    ];
    const randomPolicy = (): NetworkPolicy => ({
      defaultEgress: random() < 0.2 ? 'allow' : 'deny',
      rules: Array.from({ length: Math.floor(random() * 5) }, () =>
        rule(random() < 0.7 ? 'allow' : 'deny', pick(destinations), ...pick([[], [[443, 443]], [[1, 500]]] as const)),
      ),
    });
    const names = [undefined, 'a.example', 'b.a.example', 'other.test'];
    const addresses = ['10.1.2.3', '10.9.9.9', '93.184.216.34', '93.184.1.1', '8.8.8.8', '169.254.169.254'];
    addresses.push('169.254.1.1', '127.0.0.1', '100.100.100.200', '192.0.2.1', 'fd00:ec2::254', '2606:4700::1');
    let [merged, refused, allowed] = [0, 0, 0];
    for (let round = 0; round < 2000; round++) {
      const pair = [randomPolicy(), randomPolicy()];
      let one: NetworkPolicy;
      try {
        one = { defaultEgress: 'deny', rules: mergePolicies(pair) };
      } catch {
        refused++;
        continue;
      }
      merged++;
      // What is not public is a matter of addresses alone: a name opens none of it, and to deny one closes none.
      for (const address of addresses)
        for (const name of isInGroup(address, 'public') ? names : [undefined])
          for (const port of [443, 80, 9000]) {
            const expected = pair.every((each) => mayConnect(each, name, address, port));
            if (expected) allowed++;
            const actual = mayConnect(one, name, address, port);
            if (actual !== expected) expect({ pair, one, name, address, port, actual }).toEqual({ expected });
          }
    }
    expect(Math.min(merged, refused, allowed)).toBeGreaterThan(100);
  });
});

/** The same numbers in each run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
