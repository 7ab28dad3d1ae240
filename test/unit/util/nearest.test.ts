import { describe, expect, it } from 'vitest';
import { nearest } from '../../../src/util/nearest.ts';

describe('nearest', () => {
  const names = ['memory', 'cpus', 'driver', 'idleTimeout', 'bootTimeout'];

  it.each([
    ['memroy', 'memory'],
    ['Memory', 'memory'],
    ['cpu', 'cpus'],
    ['timeout', 'bootTimeout'],
    ['idletimout', 'idleTimeout'],
  ])('%s is near %s', (wanted, name) => {
    expect(nearest(wanted, names)).toEqual([name]);
  });

  it.each(['', 'colour', 'x'])('%j is near none of them', (wanted) => {
    expect(nearest(wanted, ['memory', 'idleTimeout'])).toEqual([]);
  });

  it('gives as many as asked, the best first', () => {
    expect(nearest('aaa', ['aab', 'aaa', 'abb', 'zzz'], 2)).toEqual(['aaa', 'aab']);
  });
});
