import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type {
  ExecutionSummary,
  PendingApproval,
  ProgramError,
  RecordedResult,
  ToolCallRecord,
} from '../core/execution.ts';
import type { Customer } from '../workcell/customer.ts';

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
  /** What it waits for. */
  readonly approvals: readonly PendingApproval[];
}

export function reportOfResult(result: RecordedResult): ExecutionReport {
  const { executionId, sessionId: session, status, value, error, calls, warnings, timing } = result;
  return {
    executionId,
    session,
    status,
    value,
    output: outputText(result),
    error,
    calls,
    warnings,
    ms: timing?.totalMs ?? null,
    approvals: [],
  };
}

/** Of one that may run still: what it has done so far. Throws `not_found`. */
export async function lookUpExecution(customer: Customer, id: string): Promise<ExecutionReport> {
  const { executionId, sessionId: session, state: status, approvals, result } = await knownExecution(customer, id);
  if (result !== null) return reportOfResult(result);
  const { output, calls, started } = await customer.recordedExecution(id);
  const { warnings = [] } = started;
  return {
    executionId,
    session,
    status,
    value: null,
    output: outputText(output),
    error: null,
    calls,
    warnings,
    ms: null,
    approvals,
  };
}

/** Throws `not_found`, in words for a model, which has no command line. */
export async function knownExecution(customer: Customer, id: string): Promise<ExecutionSummary> {
  try {
    return await customer.executionSummary(id);
  } catch (cause) {
    if (!isWorkcellError(cause) || cause.code !== 'not_found') throw cause;
    const message = `There is no execution ${JSON.stringify(id)}; take the execution_id from an answer of execute_code`;
    throw new WorkcellError('not_found', message, { cause });
  }
}

function outputText({ stdout, stderr }: Pick<RecordedResult, 'stdout' | 'stderr'>): string {
  return [stdout, stderr].filter((text) => text !== '').join('\n');
}
