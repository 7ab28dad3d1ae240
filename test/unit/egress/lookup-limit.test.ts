import { expect, it } from 'vitest';
import { LOOKUPS, LookupLimit } from '../../../src/sandbox/egress/lookup-limit.ts';

it('as many lookups as may run at a time do, and the next one when one of them has ended', async () => {
  const limit = new LookupLimit();
  const ends: (() => void)[] = [];
  let begun = 0;
  const lookUp = () => {
    begun += 1;
    return new Promise<string>((resolve) => ends.push(() => resolve('found')));
  };
  const all = Array.from({ length: LOOKUPS.atOnce + 1 }, () => limit.run(lookUp));
  expect(begun).toBe(LOOKUPS.atOnce);
  ends.shift()?.();
  expect(await all[0]).toBe('found');
  await Promise.resolve();
  expect(begun).toBe(LOOKUPS.atOnce + 1);
  for (const end of ends) end();
  expect(await Promise.all(all)).toEqual(all.map(() => 'found'));
});

it('one more than may wait is refused, and does not wait', async () => {
  const limit = new LookupLimit();
  const end = Promise.withResolvers<string>();
  const all = Array.from({ length: LOOKUPS.atOnce + LOOKUPS.waiting }, () => limit.run(() => end.promise));
  expect(await limit.run(() => end.promise)).toBeUndefined();
  end.resolve('found');
  expect(await Promise.all(all)).toEqual(all.map(() => 'found'));
});

it('a second has room for so many and no more, and so has the next one', async () => {
  let now = 0;
  const limit = new LookupLimit(() => now);
  const lookUp = async () => 'found';
  for (let count = 0; count < LOOKUPS.perSecond; count++) expect(await limit.run(lookUp)).toBe('found');
  now = 999;
  expect(await limit.run(lookUp)).toBeUndefined();
  now = 1_000;
  expect(await limit.run(lookUp)).toBe('found');
});

it('a lookup that fails gives its place back', async () => {
  const limit = new LookupLimit();
  const fail = () => Promise.reject(new Error('no such name'));
  for (let count = 0; count <= LOOKUPS.atOnce; count++) await expect(limit.run(fail)).rejects.toThrow('no such name');
  expect(await limit.run(async () => 'found')).toBe('found');
});
