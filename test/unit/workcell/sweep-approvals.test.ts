import { expect, test, vi } from 'vitest';
import { sweepApprovals } from '../../../src/workcell/sweep-approvals.ts';
import { eventually } from '../../support/processes.ts';

test('approvals are looked through now and each minute, one time after the other, also after one that failed', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    let times = 0;
    const slow = Promise.withResolvers<void>();
    const cell = {
      sweepApprovals: async () => {
        times += 1;
        if (times === 1) throw new Error('the folder is away');
        await slow.promise;
      },
    };
    const problems: unknown[] = [];
    const sweeping = sweepApprovals(cell, (error) => problems.push(error));
    await eventually(async () => problems.length === 1);
    vi.advanceTimersByTime(59_999);
    expect(times).toBe(1);
    vi.advanceTimersByTime(60_001);
    expect(times).toBe(2);
    const ended = sweeping[Symbol.asyncDispose]().then(() => 'ended');
    expect(await Promise.race([ended, new Promise((resolve) => setImmediate(resolve, 'sweeps'))])).toBe('sweeps');
    slow.resolve();
    expect(await ended).toBe('ended');
    vi.advanceTimersByTime(120_000);
    expect(times).toBe(2);
  } finally {
    vi.useRealTimers();
  }
});
