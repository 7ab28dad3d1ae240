import { expect, it } from 'vitest';
import { TokenBucket } from '../../../src/util/token-bucket.ts';

let now = 0;
const bucketOf = (capacity: number) => new TokenBucket({ capacity, refillMs: 100, now: () => now });

it('gives as many at once as it holds, and then one each time that one has come back', () => {
  const bucket = bucketOf(3);
  for (let n = 0; n < 3; n++) {
    expect(bucket.waitMs).toBe(0);
    bucket.take();
  }
  expect([bucket.waitMs, bucket.taken]).toEqual([100, 3]);
  now += 99;
  expect(bucket.waitMs).toBe(1);
  now += 1;
  expect([bucket.waitMs, bucket.taken]).toEqual([0, 2]);
});

it('never holds more than it may, however long nobody takes one, and takes back what was for nothing', () => {
  const bucket = bucketOf(2);
  now += 1_000_000;
  bucket.take();
  bucket.giveBack();
  bucket.giveBack();
  bucket.take();
  bucket.take();
  expect(bucket.waitMs).toBe(100);
});

it('of nothing never gives one', () => {
  const bucket = bucketOf(0);
  now += 1_000_000;
  expect(bucket.waitMs).toBe(Number.POSITIVE_INFINITY);
});
