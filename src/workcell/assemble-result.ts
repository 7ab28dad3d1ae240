import type { ExecutionResult, ExecutionTiming, Language, ProgramError, ToolCallRecord } from '../core/execution.ts';
import type { CustomerId, ExecutionId, SessionId } from '../core/ids.ts';
import type { Selection } from '../core/selection.ts';
import type { ProgramRun } from '../executor/program-executor.ts';
import { tenth } from './stopwatch.ts';

/** What is known of an execution before it runs. */
export interface ExecutionFacts {
  readonly id: ExecutionId;
  readonly customer: CustomerId;
  readonly sessionId: SessionId;
  readonly selection: Selection;
  readonly planner: 'none' | 'literal';
  readonly language: Language;
  readonly program: string;
  readonly warnings: readonly string[];
}

export type ResultParts = {
  readonly facts: ExecutionFacts;
  readonly timing: Partial<ExecutionTiming>;
} & (
  | {
      readonly run: Omit<ProgramRun, 'error'> & { readonly error: ProgramError | null };
      readonly calls: readonly ToolCallRecord[];
    }
  /** The program could not even be translated. */
  | { readonly refused: ProgramError }
);

export function assembleResult(parts: ResultParts): ExecutionResult {
  const { id, ...facts } = parts.facts;
  const timing = { selectMs: 0, generateMs: 0, acquireMs: 0, runMs: 0, totalMs: 0, ...parts.timing };
  const rounded = { ...timing, acquireMs: tenth(timing.acquireMs), runMs: tenth(timing.runMs) };
  if ('refused' in parts) {
    return {
      executionId: id,
      ...facts,
      status: 'failed',
      value: null,
      stdout: '',
      stderr: '',
      output: { stdoutBytes: 0, stderrBytes: 0, truncated: false },
      error: parts.refused,
      limit: null,
      exitCode: null,
      sandbox: null,
      calls: [],
      timing: rounded,
    };
  }
  const { status, value, stdout, stderr, output, error, limit, exitCode, sandbox } = parts.run;
  return {
    executionId: id,
    ...facts,
    status,
    value,
    stdout,
    stderr,
    output,
    error,
    limit,
    exitCode,
    sandbox,
    calls: parts.calls,
    timing: rounded,
  };
}
