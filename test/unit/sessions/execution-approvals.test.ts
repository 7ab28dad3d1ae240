import { describe, expect, it } from 'vitest';
import type { ExecutionId } from '../../../src/core/ids.ts';
import type { SessionEvent } from '../../../src/sessions/events.ts';
import { decidedEvent, ExecutionApprovals, type RecordedApproval } from '../../../src/sessions/execution-approvals.ts';
import { interruptedEvent } from '../../../src/sessions/outcome-event.ts';

const executionId = 'e1';
const requested = (approvalId = 'apr_e1_1', call = 1): SessionEvent => ({
  type: 'approval.requested',
  executionId,
  call,
  approvalId,
  server: 'bank',
  tool: 'pay',
  arguments: {},
});
const decided = (approved: boolean, waiting = true): SessionEvent => ({
  ...decidedEvent({ executionId, approvalId: 'apr_e1_1', call: 1 }, { approved, by: 'ann' }),
  ...(waiting ? {} : { waiting }),
});
const returned: SessionEvent = { type: 'tool.returned', executionId, call: 1, ok: true, ms: 1 };
const resumed = (replay = true): SessionEvent => ({ type: 'execution.resumed', executionId, attempt: 2, replay });
const finished: SessionEvent = interruptedEvent(executionId as ExecutionId, new Error('x'));

function approvalsOf(events: readonly SessionEvent[]): readonly RecordedApproval[] {
  const approvals = new ExecutionApprovals();
  for (const event of events) approvals.push({ ...event, at: '2026-01-01T00:00:00.000Z' });
  return approvals.all;
}

function states(...events: readonly SessionEvent[]): readonly string[] {
  return approvalsOf(events).map(({ state }) => state);
}

describe('an approval', () => {
  it.each([
    ['open', 'it was asked for', [requested()]],
    ['used', 'its program was told of the decision', [requested(), decided(true)]],
    ['used', 'its call has returned', [requested(), decided(true), returned]],
    ['ready', 'it was decided while the program did not run', [requested(), decided(true, false)]],
    ['ready', 'it was rejected while the program did not run', [requested(), decided(false, false)]],
    ['used', 'the program runs again with the decision', [requested(), decided(true, false), resumed()]],
    ['open', 'the program runs again before anybody has decided', [requested(), resumed()]],
    ['void', 'the program runs again without answers from the log', [requested(), resumed(false)]],
    ['used', 'the program runs again without the decision', [requested(), decided(true, false), resumed(false)]],
    ['void', 'its call was given up', [requested(), returned]],
    ['void', 'its execution has ended', [requested(), finished]],
    ['void', 'a decision comes after the end', [requested(), finished, decided(true)]],
  ] as const)('is %s when %s', (state, _, events) => {
    expect(states(...events)).toEqual([state]);
  });

  it('is told from the others of its execution', () => {
    expect(states(requested(), requested('apr_e1_2', 2), decided(true), returned)).toEqual(['used', 'open']);
  });

  it('is none when its id is that of another execution', () => {
    expect(states(requested('apr_e2_1'), requested('apr_e1_x'), requested('../apr_e1_1'))).toEqual([]);
  });

  it('keeps the first decision', () => {
    const [approval] = approvalsOf([requested(), decided(false), decided(true)]);
    expect(approval?.decided).toMatchObject({ approved: false, by: 'ann', reason: null });
  });
});
