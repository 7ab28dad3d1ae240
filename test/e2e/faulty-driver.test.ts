import { once } from 'node:events';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { encodeFrame } from '../../src/protocol/agent-frames.ts';
import { encodeAnyMessage } from '../../src/protocol/agent-messages.ts';
import type { SandboxResponse } from '../../src/protocol/rest.ts';
import { BubblewrapDriver } from '../../src/sandbox/drivers/bubblewrap/driver.ts';
import { SandboxServer } from '../../src/sandbox/server.ts';
import { FaultyDriver } from '../../src/testing/index.ts';
import { Secret } from '../../src/util/secret.ts';
import { AgentClient } from '../support/agent-client.ts';
import { descendantsNamed, eventually } from '../support/processes.ts';
import { API_KEY, sandboxSpec } from '../support/sandbox-server.ts';
import { tempFolder } from '../support/temp-folder.ts';

const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell');
const BOOT_TIMEOUT_MS = 6_000;

const stack = new AsyncDisposableStack();
let driver: FaultyDriver;
let server: SandboxServer;
let sandboxes = 0;

beforeAll(async () => {
  const folder = stack.use(await tempFolder());
  driver = stack.use(new FaultyDriver(new BubblewrapDriver({ cache: CACHE })));
  server = stack.use(
    await SandboxServer.listen({
      driver,
      keys: [new Secret(API_KEY)],
      volumes: join(folder.path, 'volumes'),
      bootTimeoutMs: BOOT_TIMEOUT_MS,
    }),
  );
});

afterAll(() => stack.disposeAsync());

beforeEach(async (context) => {
  driver.fault = 'none';
  context.onTestFinished(async () => {
    // Whatever went wrong, the server serves on, and nothing of the guest is left.
    driver.fault = 'none';
    const sandbox = await start();
    const client = await AgentClient.open(server, sandbox.id);
    expect(await client.exec({ cmd: 'echo', args: ['alive'] })).toMatchObject({ stdout: 'alive\n' });
    client.socket.terminate();
    for (const { id } of ((await call('GET', '/v1/sandboxes')).body as { data: { id: string }[] }).data)
      await call('DELETE', `/v1/sandboxes/${id}`);
    await eventually(async () => (await descendantsNamed('bwrap')).length === 0);
  });
});

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${API_KEY}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(60_000),
  });
  return { status: response.status, body: await response.json() };
}

async function start(): Promise<SandboxResponse> {
  const answer = await call('POST', '/v1/sandboxes?start=true&wait_for=running&wait_timeout=10', {
    ...sandboxSpec(`faulty-${++sandboxes}`),
  });
  return answer.body as SandboxResponse;
}

async function describeOf(id: string): Promise<SandboxResponse> {
  return (await call('GET', `/v1/sandboxes/${id}`)).body as SandboxResponse;
}

it.each([
  ['hangs', /took longer than 6\.0 s/],
  ['dies-booting', /died while it was starting/],
] as const)('a guest that %s fails to start within the time for it, and says why', async (fault, reason) => {
  driver.fault = fault;
  const sandbox = await start();
  expect(sandbox).toMatchObject({ status: 'failed', last_failure_message: expect.stringMatching(reason) });
});

it('a guest that dies with a command in it closes its clients, and is failed with the reason', async () => {
  driver.fault = 'dies';
  const { id } = await start();
  const client = await AgentClient.open(server, id);
  const closed = once(client.socket, 'close');
  client.send(client.newId(), 'core.exec.request', { cmd: 'sleep', args: ['1000'] });
  await closed;
  await eventually(async () => (await describeOf(id)).status === 'failed');
  expect(await describeOf(id)).toMatchObject({ last_failure_message: expect.stringContaining('it died') });
});

it('a guest that sends garbage loses its clients, and not the server', async () => {
  driver.fault = 'garbage';
  const { id } = await start();
  const client = await AgentClient.open(server, id);
  const closed = once(client.socket, 'close');
  client.send(client.newId(), 'core.exec.request', { cmd: 'sleep', args: ['1000'] });
  await closed;
});

it.each(['wrong-ids', 'second-ready'] as const)('a guest that sends %s reaches no client with it', async (fault) => {
  driver.fault = fault;
  const { id } = await start();
  const client = await AgentClient.open(server, id);
  const other = await AgentClient.open(server, id);
  expect(await client.exec({ cmd: 'echo', args: ['fine'] })).toMatchObject({ stdout: 'fine\n', end: { code: 0 } });
  expect(client.messages.filter(({ type }) => type === 'core.ready')).toHaveLength(1);
  expect(other.messages.map(({ type }) => type)).toEqual(['core.ready']);
  client.socket.terminate();
  other.socket.terminate();
});

it('a guest that floods a client which does not read is held up, and can be stopped', async () => {
  driver.fault = 'floods';
  const { id } = await start();
  const client = await AgentClient.open(server, id);
  client.socket.pause();
  client.send(client.newId(), 'core.exec.request', { cmd: 'sleep', args: ['1000'] });
  const before = process.memoryUsage().rss;
  expect((await call('POST', `/v1/sandboxes/${id}/stop`)).status).toBe(200);
  expect(process.memoryUsage().rss - before).toBeLessThan(256 * 1024 * 1024);
  client.socket.terminate();
});

it('a guest that is never ready leaves its clients waiting no longer than it lives', async () => {
  driver.fault = 'never-ready';
  const { id } = await start();
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/sandboxes/${id}/agent`, {
    headers: { authorization: `Bearer ${API_KEY}` },
  });
  const closed = once(socket, 'close');
  await once(socket, 'open');
  socket.send(encodeFrame(encodeAnyMessage(1, 'core.ping', {})));
  await call('POST', `/v1/sandboxes/${id}/stop`);
  await closed;
});
