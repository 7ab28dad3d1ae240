import { WorkcellError } from './errors.ts';
import { type ExecutionId, parseExecutionId } from './ids.ts';

/** Which calls of a server wait until somebody has approved them: none, all, or those of these tools; `*` stands for any characters. */
export type ApprovalPolicy = 'never' | 'always' | readonly string[];

export interface ApprovalDecision {
  readonly approved: boolean;
  /** Who decides, for people: in the log, and in the error of a rejected call. */
  readonly by: string;
  readonly reason?: string | undefined;
}

const SHAPE = /^apr_([A-Za-z0-9][A-Za-z0-9_-]{0,62})_([1-9]\d{0,8})$/;

/** `ordinal`: from 1, among the approvals that the execution has asked for, also before it was resumed. */
export function approvalIdOf(execution: ExecutionId, ordinal: number): string {
  return `apr_${execution}_${ordinal}`;
}

/** The execution that an approval belongs to. Throws `not_found` for what is no id of an approval. */
export function executionOfApproval(approvalId: string): ExecutionId {
  const [, execution] = SHAPE.exec(approvalId) ?? [];
  if (execution !== undefined) return parseExecutionId(execution);
  throw new WorkcellError('not_found', `There is no approval ${JSON.stringify(approvalId.slice(0, 100))}`);
}

/** Whether the id is that of an approval of this execution. */
export function isApprovalOf(execution: string, approvalId: string): boolean {
  return SHAPE.exec(approvalId)?.[1] === execution;
}
