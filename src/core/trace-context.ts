/** Where a request belongs among the traces of other systems (W3C Trace Context, level 1). */
export interface TraceContext {
  /** `00-<32 hex digits>-<16 hex digits>-<2 hex digits>` */
  readonly traceparent: string;
  /** What vendors hand on, as it came. */
  readonly tracestate?: string | undefined;
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/;
const MAX_STATE_CHARS = 512;

/** Undefined for what is no trace context, which the specification wants to be ignored; an overlong state is left out. */
export function traceContext(traceparent: unknown, tracestate?: unknown): TraceContext | undefined {
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) return undefined;
  // Version 00 has exactly four fields; what a later one adds is not ours to understand.
  if (traceparent.startsWith('00') && traceparent.length !== 55) return undefined;
  const isKept = typeof tracestate === 'string' && tracestate !== '' && tracestate.length <= MAX_STATE_CHARS;
  return { traceparent: traceparent.slice(0, 55), ...(isKept ? { tracestate } : {}) };
}
