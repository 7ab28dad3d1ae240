import type { Logger } from 'pino';
import { toWorkcellError } from '../core/errors.ts';
import type { ExecutionResult, SandboxInfo } from '../core/execution.ts';
import type { TraceContext } from '../core/trace-context.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { Span } from '../telemetry/span.ts';
import type { UpstreamHub } from '../upstream/upstream-hub.ts';
import type { ExecutionFacts } from './assemble-result.ts';

/** Who asked for an execution, for those who look for it in logs and traces. */
export interface ExecutionOrigin {
  /** Of the request over HTTP. */
  readonly requestId?: string | undefined;
  /** What the execution is a part of. */
  readonly trace?: TraceContext | undefined;
}

export interface Observers {
  readonly metrics: Metrics;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

/** Counts, traces and logs one run of a program, of which none can fail it. */
export class ObservedExecution {
  readonly #span: Span;
  readonly #ids: Readonly<Record<string, string>>;
  readonly #observers: Observers;
  readonly #acquiring: Span;
  #running: Span | undefined;

  private constructor(span: Span, ids: Readonly<Record<string, string>>, observers: Observers) {
    this.#span = span;
    this.#ids = ids;
    this.#observers = observers;
    this.#acquiring = Span.start('acquire sandbox', { parent: span });
  }

  static begin(
    { id, customer, sessionId, language }: ExecutionFacts,
    { requestId, trace }: ExecutionOrigin,
    observers: Observers,
  ): ObservedExecution {
    const attributes = {
      'workcell.execution': id,
      'workcell.customer': customer,
      'workcell.session': sessionId,
      'workcell.language': language,
    };
    const ids = { executionId: id, customer, sessionId, ...(requestId === undefined ? {} : { requestId }) };
    observers.metrics.executionStarted();
    return new ObservedExecution(Span.start('execute program', { parent: trace, attributes }), ids, observers);
  }

  /** The program starts now. */
  started({ driver, boot }: SandboxInfo): void {
    this.#acquiring.set({ 'workcell.driver': driver, 'workcell.boot': boot });
    this.#acquiring.end();
    this.#running = Span.start('run program', { parent: this.#span });
  }

  /** The hub, but each call is a span, which its server is told of. */
  traceCalls(hub: Pick<UpstreamHub, 'callTool'>): Pick<UpstreamHub, 'callTool'> {
    return {
      callTool: async (call) => {
        const span = Span.start(`tools/call ${call.tool}`, {
          kind: 'client',
          parent: this.#running ?? this.#span,
          attributes: { 'mcp.method.name': call.method ?? 'tools/call', 'workcell.server': call.server },
        });
        const outcome = await hub.callTool({ ...call, trace: span.traceContext });
        span.end(outcome.ok ? undefined : outcome.error);
        return outcome;
      },
    };
  }

  ended(result: ExecutionResult): void {
    const { status, error, timing } = result;
    this.#endParts();
    this.#span.set({ 'workcell.status': status });
    this.#span.end(status === 'completed' ? undefined : { code: status, message: error?.message ?? status });
    this.#observers.metrics.executionEnded(result);
    this.#observers.logger.info({ ...this.#ids, status, ms: Math.round(timing.totalMs) }, `execution ${status}`);
  }

  /** What is under the program has failed. */
  failed(cause: unknown): void {
    const { code, message } = toWorkcellError(cause);
    this.#endParts();
    this.#span.end({ code, message });
    this.#observers.metrics.executionEnded(undefined);
    if (code === 'paused') this.#observers.logger.info({ ...this.#ids, code }, `execution paused: ${message}`);
    else this.#observers.logger.warn({ ...this.#ids, code }, `execution interrupted: ${message}`);
  }

  #endParts(): void {
    if (this.#running === undefined) this.#acquiring.end();
    this.#running?.end();
  }
}
