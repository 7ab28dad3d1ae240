import type { ApprovalPolicy } from '../core/approval.ts';
import { matchesToolPattern } from '../core/tool-pattern.ts';

/** Whether a call of this tool, by its original name, has to wait until somebody has approved it. */
export function needsApproval(policy: ApprovalPolicy, tool: string): boolean {
  if (typeof policy === 'string') return policy === 'always';
  return policy.some((pattern) => matchesToolPattern(pattern, tool));
}
