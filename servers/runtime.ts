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

/** What a program is told of the session that it runs in, as it was when the program began. */
export interface Session {
  readonly id: string;
  /** 1 for the first time that the program runs, 2 when it is resumed once. */
  readonly attempt: number;
  /** The last that was set; null when there is none. */
  readonly checkpoint: Checkpoint | null;
  /** The last executions that have an outcome, oldest first. */
  readonly history: readonly PastExecution[];
}

export interface Checkpoint {
  /** A number or the name of the step that was reached. */
  readonly step: number | string;
  readonly lastTask: string | null;
  readonly context: unknown;
}

export interface PastExecution {
  readonly executionId: string;
  readonly task: string | null;
  readonly status: string;
  /** What it returned; null, with `truncated`, when that is large. */
  readonly value: unknown;
  readonly truncated?: true;
}

/** What the runner puts in place before a program starts. */
interface Runtime {
  callTool(server: string, tool: string, input: unknown, options?: CallOptions): Promise<unknown>;
  checkpoint(step: number | string, context?: unknown): Promise<void>;
  readonly ToolError: new (init: ToolErrorInit) => ToolError;
  readonly session: Session;
}

const runtime = (globalThis as { [key: symbol]: unknown })[Symbol.for('workcell.runtime')] as Runtime | undefined;
if (runtime === undefined) {
  throw new Error('Tools can be called only by a program that Workcell runs: start it with `workcell run`');
}

/** The class of the errors that tool calls throw: `error instanceof ToolError`. */
export const ToolError: Runtime['ToolError'] = runtime.ToolError;

/** The session of this program. In a replay its checkpoint and history are those that the program found when it first ran. */
export const session: Session = runtime.session;

/**
 * Keeps a step and what is needed to go on from there, as JSON, in the session: the next program finds both as `session.checkpoint`.
 * It is on disk when this resolves. Throws a {@link ToolError} for what cannot be kept.
 */
export function checkpoint(step: number | string, context?: unknown): Promise<void> {
  return (runtime as Runtime).checkpoint(step, context);
}

/** Calls a tool through the host and gives its result. Throws a {@link ToolError} when the call fails or is refused. */
export function callTool<Output>(server: string, tool: string, input: unknown, options?: CallOptions): Promise<Output> {
  // The host has checked the result; the output type is what the tool's server promises.
  return (runtime as Runtime).callTool(server, tool, input, options) as Promise<Output>;
}
