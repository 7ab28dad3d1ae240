import { expect, it } from 'vitest';
import { SharedTime } from '../../../src/util/shared-time.ts';

it('gives one who is alone all of the time, and those who are there together a part each', () => {
  let now = 1000;
  const time = new SharedTime(() => now);
  const first = time.begin();
  now += 100;
  const second = time.begin();
  now += 60;
  expect(first()).toBe(130);
  now += 40;
  expect(second()).toBe(70);
  now += 500;
  const third = time.begin();
  now += 5;
  expect(third()).toBe(5);
});

it('never gives more, in all, than has passed while somebody was there', () => {
  let now = 0;
  const time = new SharedTime(() => now);
  const ends = Array.from({ length: 1000 }, () => time.begin());
  now += 1000;
  const total = ends.reduce((sum, end) => sum + end(), 0);
  expect(total).toBeCloseTo(1000, 6);
});
