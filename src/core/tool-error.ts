/**
 * Why a program's tool call failed.
 *
 * Refused before it reached the server: `not_selected`, `not_allowed`, `quarantined`, `credential_missing`,
 * `arguments_too_large`, `invalid_arguments`, `schema_unusable`, `budget_exhausted`, and `rejected` by whoever had to approve it. Failed at or behind the server: `tool_failed`, `upstream_unavailable`, `timeout`, `cancelled`,
 * `result_too_large`. Of a program that runs again with the answers of its log: `outcome_unknown` (the call may have taken effect,
 * and nobody knows), `replay_diverged` (the program does not do what it did before; ends the execution).
 */
export type ToolErrorCode =
  | 'not_selected'
  | 'not_allowed'
  | 'quarantined'
  | 'credential_missing'
  | 'arguments_too_large'
  | 'invalid_arguments'
  | 'schema_unusable'
  | 'budget_exhausted'
  | 'rejected'
  | 'tool_failed'
  | 'upstream_unavailable'
  | 'timeout'
  | 'cancelled'
  | 'result_too_large'
  | 'outcome_unknown'
  | 'replay_diverged';

const REFUSALS: ReadonlySet<ToolErrorCode> = new Set([
  'not_selected',
  'not_allowed',
  'quarantined',
  'credential_missing',
  'arguments_too_large',
  'invalid_arguments',
  'schema_unusable',
  'budget_exhausted',
  'rejected',
]);

/** Whether a call that failed with this code was refused before anything was sent. */
export function isRefusal(code: ToolErrorCode): boolean {
  return REFUSALS.has(code);
}

/** A failed tool call as the program sees it: JSON, without a secret or a path of the host. */
export interface ToolErrorData {
  readonly server: string;
  readonly tool: string;
  readonly code: ToolErrorCode;
  readonly message: string;
  /** True only when the same call may succeed later and cannot take effect twice, because it never reached the tool. */
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What became of one tool call. A failure is a result, because a program can catch it. */
export type ToolOutcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: ToolErrorData };

export interface ToolFailure {
  readonly code: ToolErrorCode;
  readonly message: string;
  /** Default: false. */
  readonly retryable?: boolean;
  /** Default: none. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The failed outcome of a call of `tool`. */
export function toolFailed(
  tool: { readonly server: string; readonly tool: string },
  failure: ToolFailure,
): ToolOutcome & { readonly ok: false } {
  const { code, message, retryable = false, details = {} } = failure;
  return { ok: false, error: { server: tool.server, tool: tool.tool, code, message, retryable, details } };
}

/** How far a call is, in the server's own words and units. */
export interface ToolProgress {
  readonly progress: number;
  readonly total?: number;
  readonly message?: string;
}
