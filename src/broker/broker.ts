/**
 * The line between a guest and the upstream servers, whose credentials live on this side.
 *
 * Everything in a request comes from the guest and is untrusted: which tool it names, what its arguments hold, how large
 * and how often. Whatever it is, a call gets an outcome, never an exception.
 */
import { WorkcellError } from '../core/errors.ts';
import type { ToolCallRecord } from '../core/execution.ts';
import { isFields } from '../core/fields.ts';
import type { ExecutionLimits } from '../core/limits.ts';
import type { LoggedCall } from '../core/logged-call.ts';
import { isIdempotent, type ToolDescriptor, toolName } from '../core/tool.ts';
import { isRefusal, type ToolFailure, type ToolOutcome, type ToolProgress, toolFailed } from '../core/tool-error.ts';
import { formatSize } from '../core/units.ts';
import type { UpstreamHub } from '../upstream/upstream-hub.ts';
import { checkArguments } from './check-arguments.ts';
import type { Replay } from './replay.ts';

export interface BrokerOptions {
  /** What the run may call: its selection. Tools of kind `module` run in the guest and are not called through here. */
  readonly tools: readonly ToolDescriptor[];
  readonly hub: Pick<UpstreamHub, 'callTool'>;
  readonly limits: Pick<ExecutionLimits, 'toolCalls' | 'valueBytes'>;
  /** Whose run it is: servers with connections per customer use this one's. */
  readonly customer?: string;
  /** Why a tool that is not in `tools` could not be, when there is a better reason than that nobody selected it. */
  readonly refusal?: (tool: Pick<ToolDescriptor, 'server' | 'tool'>) => ToolFailure | undefined;
  /** Why a call that has passed all checks may not leave; takes until somebody has decided. Never rejects. Default: it may. */
  readonly approve?: (call: CheckedCall, signal: AbortSignal) => Promise<ToolFailure | undefined>;
  /** Bounds each call; default: the server's own timeout. */
  readonly timeoutMs?: number;
  /** Names the run in the keys of its calls; default: they have none. */
  readonly runId?: string;
  /** Whether a server performs calls with the same key once. Default: none does. */
  readonly isKeyed?: (server: string) => boolean;
  /** Answers what the program has done before, from its log. */
  readonly replay?: Replay | undefined;
  /** With what the program sent, unchecked. Not told of calls that the log of a replay has already. */
  readonly onCalled?: (call: CalledTool, sent: unknown) => void;
  /** Whether the outcome is kept; not told of those that come from the log. The program gets that of a call that has left the host only when it is. */
  readonly onReturned?: (record: ToolCallRecord, outcome: ToolOutcome) => Promise<boolean>;
  /** Told how far the server says that a call is. */
  readonly onProgress?: (call: CalledTool, progress: ToolProgress) => void;
}

/** A call that could leave. */
export interface CheckedCall extends CalledTool {
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** Calls that are noted on top of the budget: each is kept with its arguments, and a program can make them without end. */
const MAX_REFUSED = 100;

/** What a program asked for, as it came. */
export interface ToolRequest {
  readonly server: unknown;
  /** The tool's original name. */
  readonly tool: unknown;
  readonly arguments: unknown;
}

export interface CalledTool {
  /** Starts at 1, without gaps, in the order in which calls were made. */
  readonly seq: number;
  readonly server: string;
  readonly tool: string;
}

/**
 * One run's scope: what it may call, how often, how much at a time, and what it did.
 *
 * A call passes, in this order, scope, size and schema of its arguments, the budget, which only a call that gets that far
 * spends, and the approval that it may need.
 */
export class Broker implements AsyncDisposable {
  readonly #options: BrokerOptions;
  readonly #tools: ReadonlyMap<string, ToolDescriptor>;
  readonly #records = new Map<number, ToolCallRecord>();
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #closed = new AbortController();
  #isAbandoned = false;
  #made = 0;
  #lastSeq: number;
  #spent = 0;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#lastSeq = options.replay?.lastCall ?? 0;
    this.#tools = new Map(
      options.tools.filter(({ kind }) => kind === 'upstream').map((tool) => [toolName(tool), tool]),
    );
  }

  /** The calls that have an outcome, refused ones too, in the order in which they were made; at most 100 more than the budget. */
  get records(): readonly ToolCallRecord[] {
    return [...this.#records.values()].sort((a, b) => a.seq - b.seq);
  }

  /** How many calls have no outcome yet. */
  get openCalls(): number {
    return this.#inFlight.size;
  }

  /** Performs the call, or says why not. Never rejects. */
  async call(request: ToolRequest, signal?: AbortSignal): Promise<ToolOutcome> {
    const noted = this.#options.limits.toolCalls + MAX_REFUSED;
    if (this.#made >= noted) {
      const message = `The run has made ${noted} calls, of which ${MAX_REFUSED} or more were refused, and can make no other`;
      return toolFailed(namesOf(request), { code: 'budget_exhausted', message });
    }
    this.#made += 1;
    const ended = signal === undefined ? this.#closed.signal : AbortSignal.any([signal, this.#closed.signal]);
    const { replay } = this.#options;
    if (replay === undefined) return await this.#perform(request, undefined, ended);

    const matching = replay.match({ ...namesOf(request), arguments: request.arguments }, ended);
    const match = await this.#track(matching);
    if (match === undefined) return toolFailed(namesOf(request), RUN_IS_OVER);
    if (match.kind === 'diverged') return toolFailed(namesOf(request), match.failure);
    const logged = match.kind === 'logged' ? match.logged : undefined;
    if (logged?.returned === undefined) return await this.#perform(request, logged, ended);
    return this.#repeat(logged, logged.returned);
  }

  /** The answer that the program was given before. */
  #repeat({ call: seq, server, tool }: LoggedCall, { outcome, ms }: NonNullable<LoggedCall['returned']>): ToolOutcome {
    if (outcome.ok || !isRefusal(outcome.error.code)) this.#spent += 1;
    this.#records.set(seq, { seq, server, tool, ms, ...resultOf(outcome) });
    return outcome;
  }

  /** `logged`: this call, as it was made before, when the log does not tell what became of it. */
  async #perform(request: ToolRequest, logged: LoggedCall | undefined, ended: AbortSignal): Promise<ToolOutcome> {
    const called = { seq: logged?.call ?? ++this.#lastSeq, ...namesOf(request) };
    const startedAt = performance.now();
    if (logged === undefined) this.#options.onCalled?.(called, request.arguments);
    const { outcome, isSent } = await this.#track(this.#answer(called, request.arguments, logged, ended));
    // Nobody knows what becomes of a call that is left behind, and so nothing is said about it.
    if (this.#isAbandoned && !outcome.ok && outcome.error.code === 'cancelled') return outcome;

    const record = { ...called, ms: Math.round(performance.now() - startedAt), ...resultOf(outcome) };
    this.#records.set(called.seq, record);
    const isKept = this.#options.onReturned?.(record, outcome);
    if (!isSent || isKept === undefined || (await isKept)) return outcome;
    return toolFailed(called, RUN_IS_OVER);
  }

  /** Cancels the calls in flight, waits until they are, and refuses later ones. */
  async close(): Promise<void> {
    this.#closed.abort(new WorkcellError('cancelled', 'The run is over'));
    await Promise.all(this.#inFlight);
  }

  /** As {@link close}, for a run that was cut off: the calls in flight stay without an outcome. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isAbandoned = true;
    await this.close();
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#inFlight.add(work);
    try {
      return await work;
    } finally {
      this.#inFlight.delete(work);
    }
  }

  async #answer(
    called: CalledTool,
    args: unknown,
    logged: LoggedCall | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const tool = this.#tools.get(toolName(called));
    if (tool === undefined) return refused(called, this.#options.refusal?.(called) ?? this.#notSelected(called));
    const checked = this.#checkArguments(tool, args);
    if ('code' in checked) return refused(called, checked);
    const refusal = this.#closed.signal.aborted ? RUN_IS_OVER : this.#spendBudget();
    if (refusal !== undefined) return refused(called, refusal);

    const { hub, customer, timeoutMs, approve, onProgress, runId, isKeyed } = this.#options;
    const idempotent = isIdempotent(tool);
    if (logged?.mayHaveLeft === true && !idempotent && isKeyed?.(tool.server) !== true)
      return { isSent: true, outcome: toolFailed(called, outcomeUnknown(called)) };
    if (approve !== undefined) {
      const disapproval = await approve({ ...called, arguments: checked.args }, signal);
      if (disapproval !== undefined) return refused(called, disapproval);
    }
    const outcome = await hub.callTool({
      server: tool.server,
      tool: tool.tool,
      method: tool.method,
      arguments: checked.args,
      customer,
      idempotent,
      idempotencyKey: runId === undefined ? undefined : `${runId}:${called.seq}`,
      timeoutMs,
      onProgress: (progress) => onProgress?.(called, progress),
      signal,
    });
    return { isSent: true, outcome: outcome.ok ? this.#checkResult(called, outcome.value) : outcome };
  }

  #notSelected(called: CalledTool): ToolFailure {
    const selected = [...this.#tools.keys()];
    const list = selected.slice(0, 20).join(', ') || 'none';
    const more = selected.length > 20 ? ` and ${selected.length - 20} more` : '';
    return {
      code: 'not_selected',
      message: `${toolName(called)} is not selected for this run; selected tools: ${list}${more}; import it in the program, or name it, to select it`,
      details: { selected },
    };
  }

  #checkArguments(tool: ToolDescriptor, args: unknown): { readonly args: Record<string, unknown> } | ToolFailure {
    const name = toolName(tool);
    const { valueBytes } = this.#options.limits;
    // What was measured and checked is what is sent: plain data that nothing can change in between.
    const json = jsonOf(args ?? {});
    if (json === undefined) return { code: 'invalid_arguments', message: `${name}: the arguments are not JSON` };
    if (json.bytes > valueBytes) {
      const message = `${name}: the arguments have ${sizes(json.bytes, valueBytes)}; send less in one call`;
      return { code: 'arguments_too_large', message, details: { bytes: json.bytes, limit: valueBytes } };
    }
    const plain: unknown = JSON.parse(json.text);
    if (!isFields(plain)) return { code: 'invalid_arguments', message: `${name}: the arguments must be an object` };

    const check = checkArguments(tool.inputSchema, plain);
    if (check.kind === 'invalid') return { code: 'invalid_arguments', message: `${name}: ${check.problem}` };
    if (check.kind === 'valid') return { args: plain };
    return {
      code: 'schema_unusable',
      message: `${name} cannot be called: the input schema that its server publishes is broken (${check.reason})`,
    };
  }

  #spendBudget(): ToolFailure | undefined {
    const { toolCalls } = this.#options.limits;
    if (this.#spent < toolCalls) {
      this.#spent++;
      return undefined;
    }
    const message = `The run has used its ${toolCalls} tool calls; do more in each call, or in another run`;
    return { code: 'budget_exhausted', message, details: { limit: toolCalls } };
  }

  #checkResult(called: CalledTool, value: unknown): ToolOutcome {
    const { valueBytes } = this.#options.limits;
    const bytes = jsonOf(value ?? null)?.bytes;
    if (bytes !== undefined && bytes <= valueBytes) return { ok: true, value: value ?? null };
    const size = bytes === undefined ? 'no size that can be measured' : sizes(bytes, valueBytes);
    return toolFailed(called, {
      code: 'result_too_large',
      message: `${toolName(called)}: the result has ${size}; ask for less. The call did take effect`,
      details: { bytes: bytes ?? null, limit: valueBytes },
    });
  }
}

interface Answer {
  readonly outcome: ToolOutcome;
  /** Whether the call may have left the host. */
  readonly isSent: boolean;
}

function outcomeUnknown({ seq, ...tool }: CalledTool): ToolFailure {
  const message = `${toolName(tool)} was called before the execution was cut off, and nobody knows whether it took effect; find out before you call it again`;
  return { code: 'outcome_unknown', message, details: { call: seq } };
}

function refused(called: CalledTool, failure: ToolFailure): Answer {
  return { outcome: toolFailed(called, failure), isSent: false };
}

const RUN_IS_OVER: ToolFailure = { code: 'cancelled', message: 'The run is over' };

function resultOf(outcome: ToolOutcome): Pick<ToolCallRecord, 'ok' | 'error'> {
  if (outcome.ok) return { ok: true };
  return { ok: false, error: { code: outcome.error.code, message: outcome.error.message } };
}

function namesOf({ server, tool }: ToolRequest): Pick<CalledTool, 'server' | 'tool'> {
  return { server: nameText(server), tool: nameText(tool) };
}

/** A name as it may be shown and recorded. */
function nameText(value: unknown): string {
  if (typeof value !== 'string') return `(${typeof value})`;
  return value.length <= 200 ? value : `${value.slice(0, 200)}…`;
}

function jsonOf(value: unknown): { readonly text: string; readonly bytes: number } | undefined {
  try {
    const text: string | undefined = JSON.stringify(value);
    return text === undefined ? undefined : { text, bytes: Buffer.byteLength(text) };
  } catch {
    return undefined;
  }
}

function sizes(bytes: number, limit: number): string {
  return `${formatSize(bytes)} of JSON, more than the ${formatSize(limit)} allowed`;
}
