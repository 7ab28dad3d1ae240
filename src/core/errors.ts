/**
 * Every failure of Workcell carries one of these codes. One row says how the code reads on each surface:
 * the HTTP status, the exit code of the command line, and whether the same call may succeed when repeated.
 */
export interface ErrorRow {
  readonly http: number;
  readonly exit: ExitCode;
  readonly retryable: boolean;
}

/** 0 completed, 1 the program failed, 2 usage or configuration, 3 timed out, 4 infrastructure. */
export type ExitCode = 0 | 1 | 2 | 3 | 4;

export const ERRORS = {
  invalid_argument: { http: 400, exit: 2, retryable: false },
  invalid_config: { http: 500, exit: 2, retryable: false },
  unauthenticated: { http: 401, exit: 2, retryable: false },
  forbidden: { http: 403, exit: 2, retryable: false },
  not_found: { http: 404, exit: 2, retryable: false },
  method_not_allowed: { http: 405, exit: 2, retryable: false },
  already_exists: { http: 409, exit: 2, retryable: false },
  invalid_state: { http: 409, exit: 2, retryable: false },
  /** Not a failure: the execution waits for an approval, and goes on when it is decided. */
  paused: { http: 409, exit: 4, retryable: false },
  history_gone: { http: 410, exit: 2, retryable: false },
  precondition_failed: { http: 412, exit: 2, retryable: false },
  unsupported: { http: 400, exit: 2, retryable: false },
  no_matching_tool: { http: 422, exit: 2, retryable: false },
  missing_arguments: { http: 422, exit: 2, retryable: false },
  quota_exceeded: { http: 429, exit: 4, retryable: true },
  busy: { http: 429, exit: 4, retryable: true },
  cancelled: { http: 499, exit: 4, retryable: true },
  deadline_exceeded: { http: 504, exit: 4, retryable: true },
  shutting_down: { http: 503, exit: 4, retryable: true },
  driver_unavailable: { http: 503, exit: 4, retryable: false },
  sandbox_boot_failed: { http: 502, exit: 4, retryable: true },
  sandbox_lost: { http: 502, exit: 4, retryable: true },
  server_unreachable: { http: 502, exit: 4, retryable: true },
  upstream_unavailable: { http: 502, exit: 4, retryable: true },
  protocol_error: { http: 502, exit: 4, retryable: false },
  storage_failed: { http: 500, exit: 4, retryable: false },
  storage_full: { http: 507, exit: 4, retryable: false },
  internal: { http: 500, exit: 4, retryable: false },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorOptions {
  readonly cause?: unknown;
  /** Structured context for the caller; must be JSON and must not hold a secret or a host path. */
  readonly details?: Readonly<Record<string, unknown>>;
}

const BRAND = Symbol.for('workcell.error');

/** The one error class that Workcell throws. Tell failures apart by `code`, never by `message`. */
export class WorkcellError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  readonly [BRAND] = true;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'WorkcellError';
    this.code = code;
    this.details = options.details ?? {};
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }

  toJSON(): { code: ErrorCode; message: string; details: Readonly<Record<string, unknown>>; retryable: boolean } {
    return { code: this.code, message: this.message, details: this.details, retryable: this.retryable };
  }
}

/** True for a {@link WorkcellError}, also one made by another copy of this package. */
export function isWorkcellError(error: unknown): error is WorkcellError {
  return typeof error === 'object' && error !== null && (error as { [BRAND]?: unknown })[BRAND] === true;
}

/** Whatever was thrown, as a {@link WorkcellError}: those pass through, everything else becomes `internal` or `code`. */
export function toWorkcellError(error: unknown, code: ErrorCode = 'internal'): WorkcellError {
  if (isWorkcellError(error)) return error;
  return new WorkcellError(code, messageOf(error), { cause: error });
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
