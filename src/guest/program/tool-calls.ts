import type { RunnerFrame } from '../../protocol/runner-frames.ts';

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

type Outgoing = WithoutRun<Extract<RunnerFrame, { readonly t: 'call' | 'checkpoint' | 'cancel' }>>;
type WithoutRun<Frame> = Frame extends unknown ? Omit<Frame, 'run'> : never;

interface ToolCallsOptions {
  readonly send: (frame: Outgoing) => void;
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
  /** What the program is told of its session. */
  session: unknown;
  readonly #options: ToolCallsOptions;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  constructor(options: ToolCallsOptions) {
    this.#options = options;
    const session = () => this.session;
    const runtime = {
      callTool: this.#call.bind(this),
      checkpoint: this.#checkpoint.bind(this),
      ToolError,
      get session() {
        return session();
      },
    };
    Object.defineProperty(globalThis, Symbol.for('workcell.runtime'), { value: Object.freeze(runtime) });
  }

  answer(frame: Record<string, unknown>): void {
    const call = Number(frame['call']);
    const waiting = this.#take(call);
    if (waiting === undefined) return;
    if (frame['ok'] === true) waiting.resolve(frame['value']);
    else waiting.reject(withCallSite(new ToolError(frame['error'] as ToolErrorData), waiting.error));
  }

  #call(server: string, tool: string, input: unknown, options: CallOptions = {}): Promise<unknown> {
    return this.#ask({ server, tool }, options, (call) => ({ t: 'call', call, server, tool, input: input ?? {} }));
  }

  async #checkpoint(step: unknown, context: unknown = null): Promise<void> {
    await this.#ask({ server: 'runtime', tool: 'checkpoint' }, {}, (call) => ({
      t: 'checkpoint',
      call,
      step,
      context,
    }));
  }

  #ask(
    asked: { readonly server: string; readonly tool: string },
    { signal }: CallOptions,
    frame: (call: number) => Outgoing,
  ): Promise<unknown> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    // Made here and not when the answer comes, because only here the stack shows the line that made the call.
    const error = new ToolError({ ...asked, code: '', message: '' });
    return new Promise((resolve, reject) => {
      this.#last += 1;
      const call = this.#last;
      // First, because what is not JSON throws here, and nobody must wait for it then.
      this.#options.send(frame(call));
      const onAbort = () => {
        this.#take(call)?.reject(signal?.reason);
        this.#options.send({ t: 'cancel', call });
      };
      const settle = () => signal?.removeEventListener('abort', onAbort);
      this.#waiting.set(call, { error, resolve, reject, settle });
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#options.onPending(true);
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
