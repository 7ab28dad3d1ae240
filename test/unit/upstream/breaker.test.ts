import { describe, expect, it } from 'vitest';
import { Breaker, backoff } from '../../../src/upstream/breaker.ts';

function breakerAt(): { breaker: Breaker; pass: (ms: number) => void } {
  let now = 0;
  const breaker = new Breaker({ failures: 3, coolMs: 1_000, maxCoolMs: 3_000, now: () => now, random: () => 0 });
  return {
    breaker,
    pass: (ms) => {
      now += ms;
    },
  };
}

function fail(breaker: Breaker, times: number): void {
  for (let i = 0; i < times; i++) breaker.failed();
}

describe('Breaker', () => {
  it('opens with the third failure in a row, not with the second', () => {
    const { breaker } = breakerAt();
    fail(breaker, 2);
    expect(breaker.admit()).toBe('normal');
    fail(breaker, 1);
    expect(breaker.state).toBe('open');
    expect(breaker.admit()).toBe('refused');
  });

  it('begins to count anew with each success', () => {
    const { breaker } = breakerAt();
    fail(breaker, 2);
    breaker.succeeded();
    fail(breaker, 2);
    expect(breaker.state).toBe('closed');
  });

  it('lets one probe through when it has cooled, and nobody else', () => {
    const { breaker, pass } = breakerAt();
    fail(breaker, 3);
    pass(999);
    expect(breaker.retryInMs).toBe(1);
    expect(breaker.admit()).toBe('refused');
    pass(1);
    expect(breaker.admit()).toBe('probe');
    expect(breaker.state).toBe('half_open');
    expect(breaker.admit()).toBe('refused');
  });

  it('closes when the probe succeeds', () => {
    const { breaker, pass } = breakerAt();
    fail(breaker, 3);
    pass(1_000);
    breaker.admit();
    breaker.succeeded();
    expect([breaker.state, breaker.admit(), breaker.retryInMs]).toEqual(['closed', 'normal', 0]);
  });

  it('stays open twice as long each time the probe fails, up to a bound', () => {
    const { breaker, pass } = breakerAt();
    fail(breaker, 3);
    const waits = [1, 2, 3].map(() => {
      pass(breaker.retryInMs);
      breaker.admit();
      breaker.failed();
      return breaker.retryInMs;
    });
    expect(waits).toEqual([2_000, 3_000, 3_000]);
  });

  it('gives the probe to the next when it was abandoned', () => {
    const { breaker, pass } = breakerAt();
    fail(breaker, 3);
    pass(1_000);
    breaker.admit();
    breaker.abandoned();
    expect(breaker.admit()).toBe('probe');
  });

  it('is not kept open longer by failures that come late', () => {
    const { breaker } = breakerAt();
    fail(breaker, 3);
    const before = breaker.retryInMs;
    fail(breaker, 5);
    expect(breaker.retryInMs).toBe(before);
  });
});

describe('backoff', () => {
  it('doubles up to its bound and takes off a half at most', () => {
    expect([0, 1, 2, 10].map((attempt) => backoff(attempt, 500, 60_000, 0))).toEqual([500, 1_000, 2_000, 60_000]);
    expect(backoff(1, 500, 60_000, 1)).toBe(500);
    expect(backoff(5_000, 500, 60_000, 0)).toBe(60_000);
  });
});
