import { expect, it } from 'vitest';
import { RecentMap } from '../../../src/util/recent-map.ts';

it('holds as many as it may, and forgets what was used longest ago', () => {
  const map = new RecentMap<string, number>(3);
  for (const [n, key] of ['a', 'b', 'c'].entries()) map.set(key, n);
  expect(map.find('a')).toBe(0);
  map.set('d', 3);
  expect(['a', 'b', 'c', 'd'].map((key) => map.find(key))).toEqual([0, undefined, 2, 3]);
  for (let n = 0; n < 10_000; n++) map.set(String(n), n);
  expect(map.size).toBe(3);
  map.delete('9999');
  expect([map.size, map.find('9999')]).toEqual([2, undefined]);
});
