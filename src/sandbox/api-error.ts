import { ERRORS, type ErrorCode, isWorkcellError, WorkcellError } from '../core/errors.ts';
import { toProblem } from '../core/problem.ts';
import type { ErrorResponse } from '../protocol/rest.ts';

/** The original's words for our codes; what it has no word for goes out under our own. */
const CODES: { readonly [Code in ErrorCode]?: string } = {
  invalid_argument: 'invalid_request',
  unsupported: 'invalid_request',
  unauthenticated: 'invalid_api_key',
  not_found: 'sandbox_not_found',
  already_exists: 'name_already_exists',
  invalid_state: 'invalid_state_transition',
  busy: 'rate_limited',
  quota_exceeded: 'rate_limited',
  sandbox_boot_failed: 'orchestrator_unreachable',
  sandbox_lost: 'orchestrator_unreachable',
  driver_unavailable: 'orchestrator_unreachable',
};

/** What of a request says how its failure is to be told. */
export interface FailedRequest {
  readonly id: string;
  readonly method: string;
  readonly url: string;
}

export interface FailureAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: object;
  /** Whether the server itself failed. */
  readonly isOurs: boolean;
}

/** How a failure is told: in the words of the Microsandbox API below `/v1` and `/api/v1`, else as a problem of RFC 9457. */
export function toFailure(error: unknown, { id, url }: FailedRequest): FailureAnswer {
  if (isSandboxApi(url)) {
    const { status, body } = toErrorResponse(error);
    return { status, headers: {}, body, isOurs: body.error.code === 'internal' };
  }
  const { headers, problem } = toProblem(error, id);
  return { status: problem.status, headers, body: problem, isOurs: problem.code === 'internal' };
}

/** How a request is answered that no route takes; `allowed` are the methods that its path does take. */
export function toNotFound(request: FailedRequest, allowed: readonly string[]): FailureAnswer {
  const message = `There is no ${request.method} ${request.url}`;
  // The Microsandbox API has no word for a method that is wrong.
  if (isSandboxApi(request.url))
    return { status: 404, headers: {}, body: { error: { code: 'not_found', message, details: null } }, isOurs: false };
  if (allowed.length === 0) return toFailure(new WorkcellError('not_found', message), request);
  const allow = allowed.join(', ');
  const refusal = toFailure(new WorkcellError('method_not_allowed', `${message}; this path takes ${allow}`), request);
  return { ...refusal, headers: { ...refusal.headers, allow } };
}

function isSandboxApi(url: string): boolean {
  return /^\/(?:api\/)?v1(?:[/?]|$)/.test(url);
}

/** How a failure looks on the wire: status and body of the Microsandbox cloud API. */
export function toErrorResponse(error: unknown): { status: number; body: ErrorResponse } {
  const known = fromFramework(error);
  const code = CODES[known.code] ?? known.code;
  const details = Object.keys(known.details).length === 0 ? null : known.details;
  return { status: ERRORS[known.code].http, body: { error: { code, message: known.message, details } } };
}

/** What the HTTP framework refuses by itself: bodies that are too large, not JSON, of another type. */
function fromFramework(error: unknown): WorkcellError {
  if (isWorkcellError(error)) return error;
  const { statusCode: status } = error as { statusCode?: unknown };
  if (error instanceof Error && typeof status === 'number' && status >= 400 && status < 500)
    return new WorkcellError('invalid_argument', error.message, { cause: error });
  // What nobody expected may speak of the host: of its paths, say.
  return new WorkcellError('internal', 'The server failed; its log says why', { cause: error });
}
