interface ToolErrorData {
  readonly server: string;
  readonly tool: string;
  readonly code: string;
  readonly message: string;
  readonly retryable?: boolean;
  readonly details?: unknown;
}

/** What a program catches when a tool call fails or is refused. */
class ToolError extends Error {
  readonly server: string;
  readonly tool: string;
  readonly code: string;
  readonly retryable: boolean;
  readonly details: unknown;

  constructor(data: ToolErrorData) {
    super(data.message);
    this.name = 'ToolError';
    this.server = data.server;
    this.tool = data.tool;
    this.code = data.code;
    this.retryable = data.retryable ?? false;
    this.details = data.details ?? null;
  }
}

interface ToolCallsOptions {
  readonly send: (call: number, server: string, tool: string, input: unknown) => void;
  /** Tells the host that nobody waits for the call any more. */
  readonly cancel: (call: number) => void;
  readonly onPending: (pending: boolean) => void;
}

interface CallOptions {
  /** Gives the call up: it rejects with the signal's reason, and the tool's server is told. */
  readonly signal?: AbortSignal;
}

interface Waiting {
  readonly error: ToolError;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
  /** Lets go of what the call holds. */
  readonly settle: () => void;
}

/** The guest's end of tool calls; installs what `servers/runtime.ts` looks for. */
export class ToolCalls {
  readonly #options: ToolCallsOptions;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  constructor(options: ToolCallsOptions) {
    this.#options = options;
    const runtime = Object.freeze({ callTool: this.#call.bind(this), ToolError });
    Object.defineProperty(globalThis, Symbol.for('workcell.runtime'), { value: runtime });
  }

  answer(frame: Record<string, unknown>): void {
    const call = Number(frame['call']);
    const waiting = this.#take(call);
    if (waiting === undefined) return;
    if (frame['ok'] === true) waiting.resolve(frame['value']);
    else waiting.reject(withCallSite(new ToolError(frame['error'] as ToolErrorData), waiting.error));
  }

  #call(server: string, tool: string, input: unknown, options: CallOptions = {}): Promise<unknown> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    // Made here and not when the answer comes, because only here the stack shows the line that made the call.
    const error = new ToolError({ server, tool, code: '', message: '' });
    return new Promise((resolve, reject) => {
      this.#last += 1;
      const call = this.#last;
      const onAbort = () => {
        this.#take(call)?.reject(signal?.reason);
        this.#options.cancel(call);
      };
      const settle = () => signal?.removeEventListener('abort', onAbort);
      this.#waiting.set(call, { error, resolve, reject, settle });
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#options.onPending(true);
      this.#options.send(call, server, tool, input ?? {});
    });
  }

  /** The call is settled from here on. */
  #take(call: number): Waiting | undefined {
    const waiting = this.#waiting.get(call);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(call);
    waiting.settle();
    if (this.#waiting.size === 0) this.#options.onPending(false);
    return waiting;
  }
}

function withCallSite(error: ToolError, site: ToolError): ToolError {
  const frames = (site.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  error.stack = [`${error.name}: ${error.message}`, ...frames].join('\n');
  return error;
}
