import { isWorkcellError } from '../core/errors.ts';
import type { ExecutionResult, ProgramError, RecordedResult } from '../core/execution.ts';
import type { ExecutionId } from '../core/ids.ts';
import type { SessionEvent } from './events.ts';

type Finished = Extract<SessionEvent, { readonly type: 'execution.finished' }>;

/** Records what became of a program. */
export function finishedEvent(result: ExecutionResult): Finished {
  const { executionId, status, value, error, limit, exitCode, output, sandbox, timing } = result;
  return { type: 'execution.finished', executionId, status, value, error, limit, exitCode, output, sandbox, timing };
}

/**
 * Records that the infrastructure failed under a program. A program can read its session, so of an error that is not
 * Workcell's own, which may name host paths, nothing is told but that it happened.
 */
export function interruptedEvent(executionId: ExecutionId, error: unknown, written: Written = NOTHING): Finished {
  const known = isWorkcellError(error);
  return unjudged(executionId, 'interrupted', written, {
    name: 'WorkcellError',
    message: known ? error.message : 'The execution was cut off by an internal error',
    stack: '',
    fields: { code: known ? error.code : 'internal' },
  });
}

/** Records that an execution that nothing runs was given up. */
export function killedEvent(executionId: ExecutionId, written: Written = NOTHING): Finished {
  const message = 'The execution was cancelled';
  return unjudged(executionId, 'killed', written, { name: 'AbortError', message, stack: '' });
}

/** What is known to have been written. */
type Written = Pick<RecordedResult, 'stdout' | 'stderr'>;

const NOTHING: Written = { stdout: '', stderr: '' };

/** The end of an execution that no sandbox has told the end of. */
function unjudged(
  executionId: ExecutionId,
  status: Finished['status'],
  written: Written,
  error: ProgramError,
): Finished {
  return {
    type: 'execution.finished',
    executionId,
    status,
    value: null,
    error,
    limit: null,
    exitCode: null,
    output: {
      stdoutBytes: Buffer.byteLength(written.stdout),
      stderrBytes: Buffer.byteLength(written.stderr),
      truncated: false,
    },
    sandbox: null,
    timing: null,
  };
}
