import {
  type Attributes,
  type Context,
  context,
  createTraceState,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { toWorkcellError } from '../core/errors.ts';
import type { TraceContext } from '../core/trace-context.ts';

export interface SpanOptions {
  /** What the work is a part of: a span of ours, or of the system that asked. Default: what the process is doing anyway. */
  readonly parent?: Span | TraceContext | undefined;
  /** `server`: answers a request; `client`: makes one. Default neither. */
  readonly kind?: 'server' | 'client';
  readonly attributes?: Attributes;
}

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT };

/**
 * A piece of work, for OpenTelemetry. It goes to whatever SDK the process has registered (`node --import ./otel.js …`); without
 * one it costs next to nothing, and hands on the trace context that it was given.
 */
export class Span {
  readonly #span: OtelSpan;
  readonly #context: Context;

  private constructor(span: OtelSpan, parent: Context) {
    this.#span = span;
    this.#context = trace.setSpan(parent, span);
  }

  static start(name: string, { parent, kind, attributes = {} }: SpanOptions = {}): Span {
    const above = parent instanceof Span ? parent.#context : contextOf(parent);
    const options = { attributes, ...(kind === undefined ? {} : { kind: KINDS[kind] }) };
    return new Span(trace.getTracer('workcell').startSpan(name, options, above), above);
  }

  /** What is told to the systems that do a part of this work; undefined when nobody traces it. */
  get traceContext(): TraceContext | undefined {
    const { traceId, spanId, traceFlags, traceState } = this.#span.spanContext();
    if (/^0*$/.test(traceId)) return undefined;
    const flags = traceFlags.toString(16).padStart(2, '0');
    return { traceparent: `00-${traceId}-${spanId}-${flags}`, tracestate: traceState?.serialize() };
  }

  set(attributes: Attributes): void {
    this.#span.setAttributes(attributes);
  }

  /** `failure`: why the work has failed. Call once. */
  end(failure?: { readonly code: string; readonly message: string }): void {
    if (failure !== undefined) {
      this.#span.setAttribute('error.type', failure.code);
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: failure.message });
    }
    this.#span.end();
  }

  /** Does the work, and ends with it. */
  async around<T>(work: () => Promise<T>): Promise<T> {
    try {
      const value = await work();
      this.end();
      return value;
    } catch (error) {
      this.end(toWorkcellError(error));
      throw error;
    }
  }
}

function contextOf(remote: TraceContext | undefined): Context {
  if (remote === undefined) return context.active();
  const [, traceId = '', spanId = '', flags = '00'] = remote.traceparent.split('-');
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    ...(remote.tracestate === undefined ? {} : { traceState: createTraceState(remote.tracestate) }),
  });
}
