import { context, trace } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, describe, expect, test } from 'vitest';
import { WorkcellError } from '../../../src/core/errors.ts';
import { Span } from '../../../src/telemetry/span.ts';

const REMOTE = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'vendor=1' };

afterEach(() => {
  trace.disable();
  context.disable();
});

describe('without an SDK', () => {
  test('hands on the trace context that it was given', () => {
    const span = Span.start('request', { parent: REMOTE });
    const below = Span.start('call', { parent: span });
    expect(span.traceContext).toEqual(REMOTE);
    expect(below.traceContext).toEqual(REMOTE);
  });

  test('has no trace context of its own', () => {
    expect(Span.start('request').traceContext).toBeUndefined();
  });
});

describe('with an SDK', () => {
  const exported = (): { spans: () => ReadableSpan[] } => {
    const exporter = new InMemorySpanExporter();
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
    return { spans: () => exporter.getFinishedSpans() };
  };

  test('puts a span below that of the system which asked', () => {
    const { spans } = exported();
    const span = Span.start('request', { parent: REMOTE, kind: 'server', attributes: { 'http.route': '/x' } });
    const below = Span.start('call', { parent: span, kind: 'client' });
    below.end();
    span.end();
    const [call, request] = spans();
    expect(request?.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    expect(request?.spanContext().traceId).toBe('0af7651916cd43dd8448eb211c80319c');
    expect(request?.attributes).toEqual({ 'http.route': '/x' });
    expect(call?.parentSpanContext?.spanId).toBe(request?.spanContext().spanId);
    const told = `00-0af7651916cd43dd8448eb211c80319c-${call?.spanContext().spanId}-01`;
    expect(below.traceContext).toEqual({ traceparent: told, tracestate: 'vendor=1' });
  });

  test('says why work has failed', async () => {
    const { spans } = exported();
    const failing = Span.start('work').around(() => Promise.reject(new WorkcellError('busy', 'No room')));
    await expect(failing).rejects.toThrow('No room');
    const [span] = spans();
    expect(span?.attributes).toEqual({ 'error.type': 'busy' });
    expect(span?.status).toEqual({ code: 2, message: 'No room' });
  });
});
