import { ERRORS, type ErrorCode, isWorkcellError, WorkcellError } from './errors.ts';

export const PROBLEM_TYPE = 'application/problem+json';

/** The body of every answer that is a failure, outside the Microsandbox API: RFC 9457 with our codes. */
export interface Problem {
  /** Where the code is explained, on the server that answers. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** The message: what was asked for, why it failed, what to do. */
  readonly detail: string;
  readonly code: ErrorCode;
  readonly requestId: string;
  readonly details?: Readonly<Record<string, unknown>>;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
}

export interface ProblemAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly problem: Problem;
}

/**
 * How a failure looks over HTTP. `details.retryAfterMs`, where an error has it, is told as `Retry-After`, too. What nobody
 * expected may speak of the host, and is told as `internal` without a reason.
 */
export function toProblem(error: unknown, requestId: string): ProblemAnswer {
  const { known, status } = knownError(error);
  const { code, details, retryable } = known;
  const { retryAfterMs } = details;
  const problem = {
    type: `/docs#problem-${code}`,
    title: titleOf(code),
    status,
    detail: known.message,
    code,
    requestId,
    ...(Object.keys(details).length === 0 ? {} : { details }),
    retryable,
  };
  const wait =
    typeof retryAfterMs === 'number' && retryable ? String(Math.max(1, Math.ceil(retryAfterMs / 1000))) : null;
  return {
    headers: {
      'content-type': PROBLEM_TYPE,
      'cache-control': 'no-store',
      ...(wait === null ? {} : { 'retry-after': wait }),
      ...(code === 'unauthenticated' ? { 'www-authenticate': 'Bearer' } : {}),
    },
    problem,
  };
}

/** What the framework refuses by itself - a body that is too large, not JSON, of another type - keeps its status. */
function knownError(error: unknown): { readonly known: WorkcellError; readonly status: number } {
  if (isWorkcellError(error)) return { known: error, status: ERRORS[error.code].http };
  const { statusCode: status } = error as { statusCode?: unknown };
  if (error instanceof Error && typeof status === 'number' && status >= 400 && status < 500)
    return { known: new WorkcellError('invalid_argument', error.message, { cause: error }), status };
  const known = new WorkcellError('internal', 'The server failed; its log says why', { cause: error });
  return { known, status: ERRORS.internal.http };
}

function titleOf(code: ErrorCode): string {
  const words = code.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
