import { ERRORS, type ErrorCode, WorkcellError } from '../core/errors.ts';
import type { ExecutionResult, ExecutionTiming, RecordedResult } from '../core/execution.ts';

/** What is recorded, for a caller who waits for an outcome. Throws what kept the execution from one. */
export function toExecutionResult({ status, timing, ...result }: RecordedResult): ExecutionResult {
  if (status !== 'interrupted') return { ...result, status, timing: timing ?? NO_TIMING };
  const code = String(result.error?.fields?.['code']);
  const message = result.error?.message ?? 'The execution was cut off';
  throw new WorkcellError(code in ERRORS ? (code as ErrorCode) : 'internal', message);
}

const NO_TIMING: ExecutionTiming = { selectMs: 0, generateMs: 0, acquireMs: 0, runMs: 0, totalMs: 0 };
