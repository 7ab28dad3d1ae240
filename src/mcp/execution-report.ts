import type { ExecutionResult, ProgramError, ToolCallRecord } from '../core/execution.ts';
import type { Customer } from '../workcell/customer.ts';

type RecordedTask = Awaited<ReturnType<Customer['execution']>>;

/** What a model is told of an execution, whether it has just ended or is looked up. */
export interface ExecutionReport {
  readonly executionId: string;
  readonly session: string;
  readonly status: string;
  readonly value: unknown;
  /** What it wrote to stdout and stderr. */
  readonly output: string;
  readonly error: Pick<ProgramError, 'name' | 'message' | 'stack' | 'line'> | null;
  readonly calls: readonly Pick<ToolCallRecord, 'server' | 'tool' | 'ok' | 'error'>[];
  readonly warnings: readonly string[];
  readonly ms: number | null;
}

export function reportOfResult(result: ExecutionResult): ExecutionReport {
  const { executionId, sessionId: session, status, value, error, calls, warnings, stdout, stderr, timing } = result;
  const output = [stdout, stderr].filter((text) => text !== '').join('\n');
  return { executionId, session, status, value, output, error, calls, warnings, ms: timing.totalMs };
}

export function reportOfTask({ session, task }: RecordedTask): ExecutionReport {
  const { task_id: executionId, status, result: value, output } = task;
  const error = task.error === null ? null : { name: 'Error', message: task.error, stack: task.error };
  return { executionId, session, status, value, output, error, calls: [], warnings: [], ms: null };
}
