import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAgent, type Step, scriptedModel } from '../../examples/09-agent/agent-loop.ts';
import { BODY_BYTES } from '../../src/mcp/http-routes.ts';
import { type ApiServer, openApiServer } from '../support/api-server.ts';
import { connectHttp, type HttpClient, textOf } from '../support/mcp-client.ts';
import { doubleServer, officialServers } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const TOOLS = [{ name: 'hang', description: 'Never answers', inputSchema: { type: 'object' } }];
const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
};
const ACCEPT = { accept: 'application/json, text/event-stream' };

let folder: TempFolder;
let log: string;
let server: ApiServer;
let ann: HttpClient;
let annsKey: string;

beforeAll(async () => {
  folder = await tempFolder();
  log = join(folder.path, 'log');
  const { everything } = officialServers(folder.path);
  server = await openApiServer({ mcpServers: { double: doubleServer({ tools: TOOLS, log }), everything } });
  annsKey = await keyOf({ role: 'customer', customer: 'ann' });
  ann = await connectHttp(`${server.url}/mcp`, annsKey);
});

afterAll(async () => {
  await ann?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

type NewKey = Parameters<ApiServer['store']['create']>[0];

async function keyOf(wanted: Omit<NewKey, 'name'>): Promise<string> {
  return (await server.store.create({ name: 'of a test', ...wanted })).secret.reveal();
}

async function call(name: string, args: Record<string, unknown>, { client } = ann): Promise<CallToolResult> {
  return (await client.callTool({ name, arguments: args })) as CallToolResult;
}

function post(path: string, key: string | null, body: unknown, headers: Record<string, string> = {}) {
  return server.call('POST', path, { key, body, headers: { ...ACCEPT, ...headers } });
}

/** Messages of a stream of server-sent events. */
function messagesIn(text: string): readonly Record<string, unknown>[] {
  return [...text.matchAll(/^data: (\{.*)$/gm)].map(([, json = '']) => JSON.parse(json) as Record<string, unknown>);
}

describe('the MCP server over HTTP', () => {
  it('lets an agent find a tool, make a mistake, mend its program and finish', async () => {
    const steps: Step[] = [];
    const answer = await runAgent(ann.client, scriptedModel(['Chicago', 'Los Angeles']), (step) => steps.push(step));
    expect(answer).toMatch(/^(Chicago|Los Angeles) is the warmest, with \d+ degrees$/);
    expect(steps.map(({ tool, isError }) => [tool, isError])).toEqual([
      ['search_tools', false],
      ['execute_code', true],
      ['execute_code', false],
    ]);
    expect(steps[1]?.text).toContain("'city' does not exist in type 'GetStructuredContentInput'");
  });

  it("acts for the customer of a customer's key, and for the one that others name", async () => {
    await call('execute_code', { code: 'return 1', session: 'mine' });
    const org = await keyOf({ role: 'organisation', org: 'acme' });
    for (const [path, key] of [
      ['/customers/ann/mcp', annsKey],
      ['/customers/ann/mcp', server.key],
      ['/customers/bob/mcp', org],
    ] as const) {
      await using other = await connectHttp(server.url + path, key);
      expect(textOf(await call('execute_code', { code: 'return 1' }, other))).toMatch(/^completed/);
    }
    expect(await readdir(join(server.folder, 'workspaces'))).toEqual(expect.arrayContaining(['ann', 'acme.bob']));
  });

  it('lets nobody in who may not', async () => {
    const org = await keyOf({ role: 'organisation', org: 'acme' });
    const reader = await keyOf({ role: 'customer', customer: 'ann', scopes: ['read'] });
    for (const [path, key, status] of [
      ['/mcp', null, 401],
      ['/mcp', 'msb_wrong', 401],
      ['/mcp', server.key, 400],
      ['/mcp', org, 400],
      ['/mcp', reader, 403],
      ['/customers/bob/mcp', annsKey, 404],
      ['/customers/other.ann/mcp', org, 404],
      ['/customers/..%2fup/mcp', server.key, 400],
    ] as const)
      expect([path, (await post(path, key, INITIALIZE)).status]).toEqual([path, status]);
  });

  it('refuses what is no request', async () => {
    const json = { 'content-type': 'application/json' };
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' };
    const large = (bytes: number) => JSON.stringify(ping).padEnd(bytes);
    for (const [body, headers, status] of [
      ['', json, 400],
      ['{', json, 400],
      ['{"jsonrpc":"2.0"}', json, 400],
      ['x', { 'content-type': 'text/plain' }, 415],
      [ping, { accept: 'application/json' }, 406],
      [ping, { 'mcp-protocol-version': '1999-01-01' }, 400],
      [large(BODY_BYTES), json, 200],
      [large(BODY_BYTES + 1), json, 413],
    ] as const)
      expect([body.toString().slice(0, 20), (await post('/mcp', annsKey, body, headers)).status]).toEqual([
        body.toString().slice(0, 20),
        status,
      ]);
  });

  it('binds a session to the key that has opened it, until it is ended', async () => {
    const opened = await post('/mcp', annsKey, INITIALIZE);
    const session = { 'mcp-session-id': opened.headers['mcp-session-id'] ?? '' };
    const list = { jsonrpc: '2.0', id: 2, method: 'tools/list' };
    const another = await keyOf({ role: 'customer', customer: 'ann' });
    const ask = async (key: string, headers: Record<string, string>) => (await post('/mcp', key, list, headers)).status;
    expect(await ask(annsKey, session)).toBe(200);
    expect(await ask(another, session)).toBe(404);
    expect(await ask(annsKey, { 'mcp-session-id': 'nosuch' })).toBe(404);
    expect((await server.call('DELETE', '/mcp', { key: another, headers: session })).status).toBe(404);
    expect((await server.call('DELETE', '/mcp', { key: annsKey, headers: session })).status).toBe(200);
    expect(await ask(annsKey, session)).toBe(404);
  });

  it('answers single requests of clients without a session', async () => {
    const params = { name: 'execute_code', arguments: { code: 'return 6 * 7' } };
    const { status, headers, text } = await post('/mcp', annsKey, {
      jsonrpc: '2.0',
      id: 7,
      method: 'tools/call',
      params,
    });
    expect({ status, session: headers['mcp-session-id'] }).toEqual({ status: 200, session: undefined });
    expect(messagesIn(text)).toMatchObject([
      { id: 7, result: { structuredContent: { status: 'completed', value: 42 } } },
    ]);
    expect((await server.call('GET', '/mcp', { key: annsKey, headers: ACCEPT })).status).toBe(400);
  });

  it('kills the program of a call that is cancelled', async () => {
    const aborter = new AbortController();
    const args = { code: "import { hang } from 'servers/double'; await hang({});", session: 'cancelled' };
    const running = ann.client.callTool({ name: 'execute_code', arguments: args }, undefined, {
      signal: aborter.signal,
    });
    const outcome = running.catch((error: unknown) => error);
    await eventually(async () => (await readFile(log, 'utf8')).includes('tools/call hang'));
    aborter.abort();
    expect(await outcome).toBeInstanceOf(Error);
    const session = join(server.folder, 'workspaces/ann/sessions/cancelled.jsonl');
    await eventually(async () => /"execution.finished".*"status":"killed"/.test(await readFile(session, 'utf8')));
  });

  it('kills the program of a call that is cancelled while its sandbox boots', async () => {
    // This customer has no sandbox yet.
    await using eve = await connectHttp(`${server.url}/customers/eve/mcp`, server.key);
    const aborter = new AbortController();
    const args = { code: 'await new Promise((go) => setTimeout(go, 60_000));', session: 'booting' };
    const running = eve.client.callTool({ name: 'execute_code', arguments: args }, undefined, {
      signal: aborter.signal,
    });
    const outcome = running.catch((error: unknown) => error);
    const session = join(server.folder, 'workspaces/eve/sessions/booting.jsonl');
    const log = () => readFile(session, 'utf8').catch(() => '');
    await eventually(async () => (await log()).includes('"execution.started"'));
    aborter.abort();
    expect(await outcome).toBeInstanceOf(Error);
    await eventually(async () => (await log()).includes('"execution.finished"'));
    expect(await log()).toMatch(/"execution.finished".*"status":"killed"/);
  });

  it('goes on without a client that went away, which can come back for the answer', async () => {
    const opened = await post('/mcp', annsKey, INITIALIZE);
    const headers = { 'mcp-session-id': opened.headers['mcp-session-id'] ?? '', 'mcp-protocol-version': '2025-11-25' };
    const code =
      "const fs = require('node:fs'); while (!fs.existsSync('go')) await new Promise((go) => setTimeout(go, 20)); return 'went on';";
    const params = { name: 'execute_code', arguments: { code, session: 'left' } };
    const gone = new AbortController();
    const response = await fetch(`${server.url}/mcp`, {
      method: 'POST',
      headers: { ...ACCEPT, ...headers, authorization: `Bearer ${annsKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 5, method: 'tools/call', params }),
      signal: gone.signal,
    });
    const first = await response.body?.getReader().read();
    const last = /^id: (\S+)$/m.exec(new TextDecoder().decode(first?.value))?.[1] ?? '';
    gone.abort();

    const { files } = await server.cell.customer('ann').workspace();
    await files.writeFile('go', '');
    const resumed = await fetch(`${server.url}/mcp`, {
      headers: { ...headers, accept: 'text/event-stream', authorization: `Bearer ${annsKey}`, 'last-event-id': last },
    });
    expect(resumed.status).toBe(200);
    let text = '';
    for await (const chunk of resumed.body ?? []) {
      text += new TextDecoder().decode(chunk);
      if (messagesIn(text).length > 0) break;
    }
    expect(messagesIn(text)).toMatchObject([
      { id: 5, result: { structuredContent: { status: 'completed', value: 'went on' } } },
    ]);
    const forgotten = { ...headers, accept: 'text/event-stream', 'last-event-id': '9999' };
    expect((await server.call('GET', '/mcp', { key: annsKey, headers: forgotten })).status).toBe(410);
  });
});
