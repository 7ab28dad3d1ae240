import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { IdleMap } from '../../../src/util/idle-map.ts';

let made: string[];
let map: IdleMap<string, { readonly key: string }>;

beforeEach(() => {
  vi.useFakeTimers();
  made = [];
  map = new IdleMap({
    make: (key: string) => {
      made.push(key);
      return { key };
    },
    idleMs: 1_000,
    maxIdle: 2,
  });
});

afterEach(() => {
  vi.useRealTimers();
});

function use(key: string): void {
  map.lease(key)[Symbol.dispose]();
}

describe('IdleMap', () => {
  test('gives all who hold a key the same value', () => {
    using one = map.lease('a');
    using other = map.lease('a');
    expect(other.value).toBe(one.value);
    expect(made).toEqual(['a']);
  });

  test('keeps a value that somebody holds, however long, and though others are disposed twice', () => {
    using held = map.lease('a');
    const other = map.lease('a');
    other[Symbol.dispose]();
    other[Symbol.dispose]();
    vi.advanceTimersByTime(1_000_000);
    for (const key of ['b', 'c', 'd']) use(key);
    expect(map.lease('a').value).toBe(held.value);
  });

  test('drops a value that nobody has used for the time, and not before', () => {
    use('a');
    vi.advanceTimersByTime(999);
    expect(map.size).toBe(1);
    use('a');
    vi.advanceTimersByTime(999);
    expect(made).toEqual(['a']);
    vi.advanceTimersByTime(1);
    expect(map.size).toBe(0);
    use('a');
    expect(made).toEqual(['a', 'a']);
  });

  test('keeps no more idle values than it may; the one that was used longest ago goes', () => {
    for (const key of ['a', 'b', 'a', 'c']) use(key);
    expect(map.values().map(({ key }) => key)).toEqual(['a', 'c']);
    for (let i = 0; i < 10_000; i++) use(`k${i}`);
    expect(map.size).toBe(2);
    expect(vi.getTimerCount()).toBe(2);
  });
});
