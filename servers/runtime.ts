/** What a failed tool call throws. Tell failures apart by `code`. */
export interface ToolError extends Error {
  readonly name: 'ToolError';
  readonly server: string;
  readonly tool: string;
  readonly code: string;
  /** True when the same call may succeed later. */
  readonly retryable: boolean;
  readonly details: unknown;
}

export interface ToolErrorInit {
  readonly server: string;
  readonly tool: string;
  readonly code: string;
  readonly message: string;
  /** False by default. */
  readonly retryable?: boolean;
  readonly details?: unknown;
}

export interface CallOptions {
  /** Gives the call up when it fires: the call rejects with the signal's reason, and the tool's server is told to stop. */
  readonly signal?: AbortSignal;
}

/** What the runner puts in place before a program starts. */
interface Runtime {
  callTool(server: string, tool: string, input: unknown, options?: CallOptions): Promise<unknown>;
  readonly ToolError: new (init: ToolErrorInit) => ToolError;
}

const runtime = (globalThis as { [key: symbol]: unknown })[Symbol.for('workcell.runtime')] as Runtime | undefined;
if (runtime === undefined) {
  throw new Error('Tools can be called only by a program that Workcell runs: start it with `workcell run`');
}

/** The class of the errors that tool calls throw: `error instanceof ToolError`. */
export const ToolError: Runtime['ToolError'] = runtime.ToolError;

/** Calls a tool through the host and gives its result. Throws a {@link ToolError} when the call fails or is refused. */
export function callTool<Output>(server: string, tool: string, input: unknown, options?: CallOptions): Promise<Output> {
  // The host has checked the result; the output type is what the tool's server promises.
  return (runtime as Runtime).callTool(server, tool, input, options) as Promise<Output>;
}
