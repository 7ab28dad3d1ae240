import { describe, expect, it } from 'vitest';
import { needsApproval } from '../../../src/guardrails/needs-approval.ts';

describe('a call', () => {
  it.each([
    ['never', 'delete_all', false],
    ['always', 'read', true],
    [[], 'delete_all', false],
    [['delete_all'], 'delete_all', true],
    [['delete_all'], 'delete_all_now', false],
    [['delete_*', 'pay'], 'delete_one', true],
    [['delete_*', 'pay'], 'undelete_one', false],
    [['*'], 'anything', true],
    [['*_issue_*'], 'create_issue_comment', true],
    [['a*a'], 'a', false],
    [['DELETE_*'], 'delete_one', false],
  ] as const)('of a server with requireApproval %j waits for %s to be approved: %s', (policy, tool, needs) => {
    expect(needsApproval(policy, tool)).toBe(needs);
  });
});
