import type { ExecutionStatus } from '../core/execution.ts';
import type { RunnerEnd } from './runner-session.ts';

/** Why the host ended a program, if it did. */
export type HostStop = 'timed_out' | 'killed' | undefined;

export interface ProgramOutcome {
  readonly status: ExecutionStatus;
  readonly value: unknown;
  readonly error: {
    readonly name: string;
    readonly message: string;
    readonly stack: string;
    readonly line?: number;
    readonly fields?: Readonly<Record<string, unknown>>;
  } | null;
  readonly limit: 'time' | 'memory' | 'output' | null;
  readonly exitCode: number | null;
}

/** What a program's end means. What the host did to it counts more than what the guest says of it. */
export function judge(end: RunnerEnd['end'], stop: HostStop, timeoutMs: number): ProgramOutcome {
  if (stop === 'timed_out') {
    const message = `The program was still running after ${timeoutMs / 1000} s and was ended; raise the timeout or do less at once`;
    return outcome('timed_out', 'TimeoutError', message, 'time');
  }
  if (stop === 'killed')
    return outcome('killed', 'AbortError', 'The program was ended because its caller cancelled it', null);
  switch (end.kind) {
    case 'value':
      return { status: 'completed', value: end.value ?? null, error: null, limit: null, exitCode: 0 };
    case 'error': {
      const limit = LIMITS.get(end.error.name) ?? null;
      return {
        status: limit === null ? 'failed' : 'limit_exceeded',
        value: null,
        error: end.error,
        limit,
        exitCode: null,
      };
    }
    case 'exit':
      return judgeExit(end);
    default:
      return end satisfies never;
  }
}

/** Errors that say that a limit was met: of a value, and of Python's memory. */
const LIMITS: ReadonlyMap<string, ProgramOutcome['limit']> = new Map([
  ['LimitError', 'output'],
  ['MemoryError', 'memory'],
]);

function judgeExit(end: Extract<RunnerEnd['end'], { kind: 'exit' }>): ProgramOutcome {
  if (end.outOfMemory) {
    const message =
      'The program used more memory than its sandbox has; process the data in smaller pieces, or raise sandbox.memory';
    return outcome('limit_exceeded', 'OutOfMemoryError', message, 'memory');
  }
  if (end.code === 0) return { status: 'completed', value: null, error: null, limit: null, exitCode: 0 };
  const how = end.signal === null ? `with exit code ${end.code}` : `by ${end.signal}`;
  return { ...outcome('failed', 'ExitError', `The program ended itself ${how}`, null), exitCode: end.code };
}

function outcome(
  status: ExecutionStatus,
  name: string,
  message: string,
  limit: ProgramOutcome['limit'],
): ProgramOutcome {
  return { status, value: null, error: { name, message, stack: '' }, limit, exitCode: null };
}
