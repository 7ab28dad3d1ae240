import { isWorkcellError } from '../core/errors.ts';
import type { ExecutionResult } from '../core/execution.ts';
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
export function interruptedEvent(executionId: ExecutionId, error: unknown): Finished {
  const known = isWorkcellError(error);
  return {
    type: 'execution.finished',
    executionId,
    status: 'interrupted',
    value: null,
    error: {
      name: 'WorkcellError',
      message: known ? error.message : 'The execution was cut off by an internal error',
      stack: '',
      fields: { code: known ? error.code : 'internal' },
    },
    limit: null,
    exitCode: null,
    output: { stdoutBytes: 0, stderrBytes: 0, truncated: false },
    sandbox: null,
    timing: null,
  };
}
