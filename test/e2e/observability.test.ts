import { context, trace } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type ApiServer, openApiServer } from '../support/api-server.ts';
import { doubleServer } from '../support/mcp-servers.ts';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const META = { name: 'meta', description: 'What came beside the arguments', inputSchema: { type: 'object' } };
const CODE = "import { meta } from 'servers/double';\nreturn await meta({})";

let server: ApiServer;

beforeAll(async () => {
  server = await openApiServer({ mcpServers: { double: doubleServer({ tools: [META] }) } });
});

afterAll(() => server?.[Symbol.asyncDispose]());

afterEach(() => {
  trace.disable();
  context.disable();
});

describe('what anybody may ask', () => {
  test('is whether the process answers, and whether it takes work', async () => {
    const health = await fetch(`${server.url}/healthz`);
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }]);
    const ready = await fetch(`${server.url}/readyz`);
    const checks = { sandboxes: 'ok', storage: 'ok', tools: 'ok', accepting: 'ok' };
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, checks }]);
  });

  test('is not the numbers', async () => {
    expect((await fetch(`${server.url}/metrics`)).status).toBe(401);
  });
});

describe('an execution', () => {
  test('is counted, without a name of the customer or the tool', async () => {
    expect(await server.cell.customer('visible-nowhere').execute({ code: CODE })).toMatchObject({
      status: 'completed',
    });
    const answer = await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${server.key}` } });
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    expect(text).toMatch(/^workcell_execution_duration_seconds_count\{status="completed",language="typescript"\} 1$/m);
    expect(text).toMatch(/^workcell_sandbox_start_seconds_count\{driver="bubblewrap",boot="cold"\} 1$/m);
    expect(text).toMatch(/^workcell_tool_call_duration_seconds_count\{server="double",outcome="ok"\} 1$/m);
    expect(text).toMatch(/^workcell_sandboxes\{state="running"\} 1$/m);
    expect(text).toMatch(/^workcell_upstream_breaker_state\{server="double"\} 0$/m);
    expect(text).toMatch(
      /^workcell_http_request_duration_seconds_count\{method="GET",route="\/healthz",status="200"\} 1$/m,
    );
    expect(text).not.toContain('visible-nowhere');
    expect(text).not.toContain('meta');
  });

  test('hands the trace of its request on to the servers of its tools, without an SDK, too', async () => {
    const { value } = await server.cell.customer('ann').execute({ code: CODE, trace: { traceparent: TRACEPARENT } });
    expect(value).toMatchObject({ traceparent: TRACEPARENT });
  });

  test('is a tree of spans below that request', async () => {
    const exporter = new InMemorySpanExporter();
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
    const { value } = await server.cell.customer('ann').execute({ code: CODE, trace: { traceparent: TRACEPARENT } });
    const spans = exporter.getFinishedSpans();
    const named = (name: string): ReadableSpan => {
      const found = spans.find((span) => span.name === name);
      if (found === undefined) throw new Error(`no span ${name} among ${spans.map((span) => span.name).join(', ')}`);
      return found;
    };
    const above = (span: ReadableSpan) => span.parentSpanContext?.spanId;
    const [execution, run, call] = [named('execute program'), named('run program'), named('tools/call meta')];
    expect(above(execution)).toBe(TRACEPARENT.split('-')[2]);
    expect(above(named('acquire sandbox'))).toBe(execution.spanContext().spanId);
    expect(above(run)).toBe(execution.spanContext().spanId);
    expect(above(call)).toBe(run.spanContext().spanId);
    expect(new Set(spans.map((span) => span.spanContext().traceId))).toEqual(new Set([TRACEPARENT.split('-')[1]]));
    const told = `00-${TRACEPARENT.split('-')[1]}-${call.spanContext().spanId}-01`;
    expect(value).toMatchObject({ traceparent: told });
  });
});
