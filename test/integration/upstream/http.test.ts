import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkcellError } from '../../../src/core/errors.ts';
import type { ToolOutcome } from '../../../src/core/tool-error.ts';
import { UpstreamHub } from '../../../src/upstream/upstream-hub.ts';
import { Cleanup } from '../../../src/util/cleanup.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { Secret } from '../../../src/util/secret.ts';
import { freePort, startHttpEverything } from '../../support/mcp-servers.ts';
import { descendants } from '../../support/processes.ts';

let cleanup: Cleanup;
let hub: UpstreamHub;
let problems: WorkcellError[];

beforeEach(() => {
  cleanup = new Cleanup();
  problems = [];
});

afterEach(async () => {
  await cleanup.run();
  expect(await descendants()).toEqual([]);
});

function connectTo(url: string, headers: Readonly<Record<string, string>> = {}, timeoutMs = 60_000): void {
  const secret = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, new Secret(value)]));
  const servers = { web: { kind: 'http', url, headers: secret, timeoutMs } } as const;
  hub = new UpstreamHub({ servers, onProblem: (_server, error) => problems.push(error) });
  cleanup.add(() => hub.close());
}

const call = (tool: string, args: Record<string, unknown> = {}): Promise<ToolOutcome> =>
  hub.callTool({ server: 'web', tool, arguments: args });

async function listNames(): Promise<readonly string[]> {
  using deadline = new Deadline('The test', 120_000);
  return (await hub.listTools('web', deadline)).map(({ tool }) => tool);
}

/** A server of our own on the loopback interface. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}/mcp?key=in-the-query` : '';
}

describe('the official everything server over streamable HTTP', () => {
  async function everything(): Promise<Awaited<ReturnType<typeof startHttpEverything>>> {
    const server = await startHttpEverything();
    cleanup.add(() => server.kill());
    connectTo(server.url);
    return server;
  }

  it('lists its tools and answers calls', async () => {
    await everything();
    expect(await listNames()).toContain('get-sum');
    expect(await call('get-sum', { a: 2, b: 3 })).toEqual({ ok: true, value: 'The sum of 2 and 3 is 5.' });
    expect(await call('get-structured-content', { location: 'Chicago' })).toMatchObject({
      ok: true,
      value: { conditions: expect.any(String) },
    });
  });

  it('that crashes in the middle of a call fails the call at once; after a restart the next call connects anew', async () => {
    const server = await everything();
    const connected = await call('echo', { message: 'before' });
    expect(connected).toEqual({ ok: true, value: 'Echo: before' });
    const slow = call('trigger-long-running-operation', { duration: 60, steps: 2 });
    expect(await call('echo', { message: 'meanwhile' })).toMatchObject({ ok: true });
    await server.kill();
    expect(await slow).toMatchObject({
      ok: false,
      error: {
        code: 'upstream_unavailable',
        message: 'The MCP server "web" could not be reached; the call may have taken effect',
        retryable: false,
      },
    });
    expect(problems).toHaveLength(1);
    expect(await call('echo')).toMatchObject({
      ok: false,
      error: { code: 'upstream_unavailable', message: 'The MCP server "web" could not be reached', retryable: true },
    });

    const restarted = await startHttpEverything(server.port);
    cleanup.add(() => restarted.kill());
    expect(await call('echo', { message: 'again' })).toEqual({ ok: true, value: 'Echo: again' });
  });

  it('that was restarted between two calls fails one of them at most', async () => {
    const server = await everything();
    await call('echo', { message: 'before' });
    await server.kill();
    const restarted = await startHttpEverything(server.port);
    cleanup.add(() => restarted.kill());
    const first = await call('echo', { message: 'a' });
    if (!first.ok) expect(first.error.code).toBe('upstream_unavailable');
    expect(await call('echo', { message: 'b' })).toEqual({ ok: true, value: 'Echo: b' });
  });

  it('ends a call that takes too long, and stays usable', async () => {
    await everything();
    const args = { duration: 60, steps: 2 };
    const tool = 'trigger-long-running-operation';
    // Connecting is not what takes too long.
    await call('echo', { message: 'before' });
    const outcome = await hub.callTool({ server: 'web', tool, arguments: args, timeoutMs: 500 });
    expect(outcome).toMatchObject({ ok: false, error: { code: 'timeout' } });
    expect(await call('echo', { message: 'hi' })).toMatchObject({ ok: true });
    expect(problems).toEqual([]);
  });
});

describe('the official everything server over the old HTTP+SSE transport', () => {
  it('is found by its answer, lists its tools, answers, and is there again after a crash', async () => {
    const server = await startHttpEverything(undefined, 'sse');
    cleanup.add(() => server.kill());
    connectTo(server.url);
    expect(await listNames()).toContain('get-sum');
    expect(await call('get-sum', { a: 2, b: 3 })).toEqual({ ok: true, value: 'The sum of 2 and 3 is 5.' });
    const slow = call('trigger-long-running-operation', { duration: 60, steps: 2 });
    expect(await call('echo', { message: 'meanwhile' })).toMatchObject({ ok: true });
    await server.kill();
    expect(await slow).toMatchObject({ ok: false, error: { code: 'upstream_unavailable', retryable: false } });
    const restarted = await startHttpEverything(server.port, 'sse');
    cleanup.add(() => restarted.kill());
    expect(await call('echo', { message: 'again' })).toEqual({ ok: true, value: 'Echo: again' });
  });
});

describe('an endpoint of our own', () => {
  it('gets the configured headers with every request', async () => {
    const seen = new Set<string | undefined>();
    const url = await serve((request, response) => {
      seen.add(request.headers.authorization);
      answer(request, response, () => ({ tools: [{ name: 'a' }] }));
    });
    connectTo(url, { Authorization: 'Bearer t0ken-value' });
    expect(await listNames()).toEqual(['a']);
    expect([...seen]).toEqual(['Bearer t0ken-value']);
  });

  it.each([
    [401, 'check its "headers"'],
    [403, 'check its "headers"'],
    [404, 'check its "url"'],
    [500, 'check its "url"'],
  ])('that answers %i is told with its status and a hint, and without a secret', async (status, hint) => {
    const url = await serve((_request, response) => {
      response.writeHead(status).end(`no: Bearer t0ken-value ${'x'.repeat(10_000)}`);
    });
    connectTo(url, { Authorization: 'Bearer t0ken-value' });
    await expect(listNames()).rejects.toMatchObject({ code: 'upstream_unavailable' });
    const [problem] = problems;
    expect(problem?.message).toContain(`answered HTTP ${status}`);
    expect(problem?.message).toContain(hint);
    expect(problem?.message).not.toMatch(/t0ken-value|in-the-query/);
    expect(problem?.message.length).toBeLessThan(700);
    expect(await call('x')).toMatchObject({
      ok: false,
      error: { message: `The MCP server "web" answered HTTP ${status}` },
    });
  });

  it('that nobody listens on is told', async () => {
    const url = `http://127.0.0.1:${await freePort()}/mcp`;
    connectTo(url);
    await expect(listNames()).rejects.toThrow(`${url} could not be reached: ECONNREFUSED`);
  });

  it('that never answers is given up after the timeout of the server', async () => {
    connectTo(await serve(() => {}), {}, 300);
    await expect(listNames()).rejects.toThrow(/did not answer: Connecting to MCP server "web" took longer than 0\.3 s/);
    expect(problems).toHaveLength(1);
  });

  it('that refuses one call as too busy keeps its session', async () => {
    let initialized = 0;
    const url = await serve((request, response) =>
      answer(request, response, (method) => {
        if (method === 'initialize') initialized++;
        if (method === 'tools/call') response.writeHead(429).end('slow down');
        return {};
      }),
    );
    connectTo(url);
    expect(await call('x')).toMatchObject({
      ok: false,
      error: { code: 'upstream_unavailable', message: 'The MCP server "web" answered HTTP 429', retryable: true },
    });
    expect(await listNames()).toEqual([]);
    expect(initialized).toBe(1);
    expect(problems).toEqual([]);
  });

  it('that answers one call with too much keeps its session', async () => {
    const url = await serve((request, response) => answer(request, response, (method) => flood(method)));
    connectTo(url);
    const flood = (method: string) =>
      method === 'tools/call' ? { structuredContent: 'x'.repeat(65 * 1024 ** 2) } : {};
    expect(await call('x')).toMatchObject({
      ok: false,
      error: { message: 'The MCP server "web" answered with more than 64 MiB; the call may have taken effect' },
    });
    expect(await listNames()).toEqual([]);
    expect(problems).toEqual([]);
  });

  it('that forgot the session is connected anew for a call, which never arrived in the old one and arrives once', async () => {
    const sessions = new Set<string>();
    const calls: string[] = [];
    const url = await serve((request, response) =>
      answer(request, response, (method) => {
        const session = String(request.headers['mcp-session-id']);
        if (method === 'initialize') {
          const fresh = `s${sessions.size + 1}-${Date.now()}`;
          sessions.add(fresh);
          response.setHeader('mcp-session-id', fresh);
        } else if (!sessions.has(session)) {
          response.writeHead(404).end('no such session');
        } else if (method === 'tools/call') {
          calls.push(session);
        }
        return { content: [], structuredContent: { session } };
      }),
    );
    connectTo(url);
    expect(await call('x')).toMatchObject({ ok: true });
    sessions.clear();
    expect(await call('x')).toMatchObject({ ok: true });
    expect(calls).toHaveLength(2);
    expect(new Set(calls).size).toBe(2);
  });
});

/** Answers one JSON-RPC request with JSON, unless `result` has answered it already. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  result: (method: string) => Readonly<Record<string, unknown>>,
): Promise<void> {
  if (request.method !== 'POST') {
    response.writeHead(405).end();
    return;
  }
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const { id, method, params } = JSON.parse(Buffer.concat(chunks).toString());
  const initialized = {
    protocolVersion: params?.protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: 'own', version: '1' },
  };
  const value = { tools: [], ...result(method), ...(method === 'initialize' ? initialized : {}) };
  if (response.headersSent) return;
  if (id === undefined) response.writeHead(202).end();
  else
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ jsonrpc: '2.0', id, result: value }));
}
