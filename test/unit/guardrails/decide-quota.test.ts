import { describe, expect, it } from 'vitest';
import { parseCustomerId } from '../../../src/core/ids.ts';
import { assertWithinQuotas, quotasOf } from '../../../src/guardrails/decide-quota.ts';

describe('the quotas of a customer', () => {
  const rules = {
    default: { executions: 1, executionsPerMinute: 10 },
    organisations: { acme: { executions: 2, diskBytes: 5 }, default: { cpuSecondsPerDay: 9 } },
    customers: { 'acme.ann': { executions: 3 }, ann: { executionsPerMinute: 0 }, constructor: { executions: 7 } },
  };

  it.each([
    ['bob', { executions: 1, executionsPerMinute: 10, cpuSecondsPerDay: 9 }],
    ['ann', { executions: 1, executionsPerMinute: 0, cpuSecondsPerDay: 9 }],
    ['acme.bob', { executions: 2, executionsPerMinute: 10, diskBytes: 5 }],
    ['acme.ann', { executions: 3, executionsPerMinute: 10, diskBytes: 5 }],
    ['box.ann', { executions: 1, executionsPerMinute: 10 }],
    ['constructor', { executions: 7, executionsPerMinute: 10, cpuSecondsPerDay: 9 }],
    ['toString.valueOf', { executions: 1, executionsPerMinute: 10 }],
  ])('%s are its own, over its organisation’s, over the default ones', (id, expected) => {
    expect(quotasOf(parseCustomerId(id), rules)).toEqual(expected);
  });
});

describe('a claim', () => {
  it.each([
    [9, 'fits'],
    [10, 'fits'],
    [11, 'refused'],
  ])('of what makes %i of 10 %s', (sum, expected) => {
    const claim = { quota: 'executions', limit: 10, used: sum - 1, wanted: 1, retryAfterMs: 5 } as const;
    const decide = () => assertWithinQuotas([claim]);
    if (expected === 'fits') return decide();
    expect(decide).toThrow(
      expect.objectContaining({
        code: 'quota_exceeded',
        details: { quota: 'executions', limit: 10, used: sum - 1, retryAfterMs: 5 },
      }),
    );
  });

  it('without a limit always fits', () => {
    assertWithinQuotas([{ quota: 'executions', limit: undefined, used: 1e9, wanted: 1 }]);
  });

  it.each([
    [2, 2, undefined],
    [2, 3, 'invalid_argument'],
    [0, 1, 'forbidden'],
  ])('of a limit of %i that wants %i will never fit, however long one waits: %s', (limit, wanted, code) => {
    const other = { quota: 'executions', limit: 1, used: 1, wanted: 0, retryAfterMs: 5 } as const;
    const decide = () => assertWithinQuotas([other, { quota: 'cpuSecondsPerDay', limit, used: 0, wanted }]);
    if (code === undefined) return decide();
    const details = { quota: 'cpuSecondsPerDay', limit, wanted };
    expect(decide).toThrow(expect.objectContaining({ code, details, retryable: false }));
  });
});
