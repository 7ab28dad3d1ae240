import { expect, test, vi } from 'vitest';
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import type { CustomerPruneReport } from '../../../src/workcell/prune-sessions.ts';
import { type Prunable, pruneDaily } from '../../../src/workcell/prune-sessions.ts';
import { eventually } from '../../support/processes.ts';

const [ann, bob, carl] = [parseCustomerId('ann'), parseCustomerId('bob'), parseCustomerId('carl')];
const pruned = { sessionId: parseSessionId('s1'), bytes: 1, writtenAt: '2026-01-01T00:00:00.000Z' };

test('sessions are pruned now and each day, and a customer who fails stops no other', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    const reports: CustomerPruneReport[] = [];
    let days = 0;
    const cell: Prunable = {
      listCustomers: async () => {
        days += 1;
        if (days === 2) throw new Error('the folder is away');
        return [ann, bob, carl];
      },
      customer: (id) => ({
        pruneSessions: async () => {
          if (id === ann) throw new Error('damaged');
          return { deleted: id === bob ? [pruned] : [], kept: [] };
        },
      }),
    };
    const problems: unknown[] = [];
    const pruning = pruneDaily(cell, {
      onReport: (report) => reports.push(report),
      onProblem: (error) => problems.push(error),
    });
    await eventually(async () => reports.length === 2);
    expect(reports).toMatchObject([
      { customer: 'ann', problem: 'damaged', deleted: [] },
      { customer: 'bob', problem: null, deleted: [pruned] },
    ]);
    vi.advanceTimersByTime(86_400_000 - 1);
    expect(days).toBe(1);
    vi.advanceTimersByTime(1);
    await eventually(async () => problems.length === 1);
    vi.advanceTimersByTime(86_400_000);
    await eventually(async () => reports.length === 4);
    await pruning[Symbol.asyncDispose]();
    vi.advanceTimersByTime(2 * 86_400_000);
    expect(days).toBe(3);
  } finally {
    vi.useRealTimers();
  }
});
