import { ERRORS, type ErrorCode, isWorkcellError, WorkcellError } from '../core/errors.ts';
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
