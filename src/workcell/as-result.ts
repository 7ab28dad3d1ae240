import { ERRORS, type ErrorCode, WorkcellError } from '../core/errors.ts';
import type { ExecutionResult, ExecutionTiming, RecordedResult } from '../core/execution.ts';

/** Throws what kept an execution from an outcome. */
export function asResult({ status, timing, ...result }: RecordedResult): ExecutionResult {
  if (status !== 'interrupted') return { ...result, status, timing: timing ?? NO_TIMING };
  const code = String(result.error?.fields?.['code']);
  const message = result.error?.message ?? 'The execution was cut off';
  throw new WorkcellError(code in ERRORS ? (code as ErrorCode) : 'internal', message);
}

const NO_TIMING: ExecutionTiming = { selectMs: 0, generateMs: 0, acquireMs: 0, runMs: 0, totalMs: 0 };
