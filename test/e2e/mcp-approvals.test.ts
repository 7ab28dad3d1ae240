import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type CallToolResult,
  type ClientCapabilities,
  type ElicitRequest,
  ElicitRequestSchema,
  type ElicitResult,
} from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PendingApproval } from '../../src/core/execution.ts';
import { type ApiServer, openApiServer } from '../support/api-server.ts';
import { connectHttp, textOf } from '../support/mcp-client.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const amount = { type: 'object', properties: { cents: { type: 'number' } }, required: ['cents'] };

let folder: TempFolder;
let server: ApiServer;

beforeAll(async () => {
  folder = await tempFolder();
  const tools = [{ name: 'pay', description: 'Pays', inputSchema: amount }];
  server = await openApiServer({
    mcpServers: { bank: doubleServer({ tools, log: join(folder.path, 'log') }, { requireApproval: 'always' }) },
  });
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

type Asked = ElicitRequest['params'][];
type Answer = (params: ElicitRequest['params']) => ElicitResult | Promise<ElicitResult>;

interface Agent extends AsyncDisposable {
  call(name: string, args: Record<string, unknown>): Promise<CallToolResult>;
  readonly asked: Asked;
}

/** `answer`: what the person says; without it, the client cannot ask anybody. */
async function agent(answer?: Answer, { query = '', key = server.key } = {}): Promise<Agent> {
  const capabilities: ClientCapabilities = answer === undefined ? {} : { elicitation: {} };
  const connected = await connectHttp(`${server.url}/customers/ann/mcp${query}`, key, capabilities);
  const { client } = connected;
  const asked: Asked = [];
  if (answer !== undefined) {
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      asked.push(params);
      return answer(params);
    });
  }
  return {
    asked,
    call: async (name, args) => (await client.callTool({ name, arguments: args })) as CallToolResult,
    [Symbol.asyncDispose]: () => connected[Symbol.asyncDispose](),
  };
}

async function sent(): Promise<number> {
  const lines = (await readFile(join(folder.path, 'log'), 'utf8')).split('\n');
  return lines.filter((line) => line === 'tools/call pay').length;
}

const paying = (cents: number) =>
  `import { pay } from 'servers/bank';
return await pay({ cents: ${cents} }).then(() => 'paid', ({ code, message }) => code + ': ' + message);`;

interface Structured {
  readonly status: string;
  readonly execution_id: string;
  readonly value?: unknown;
  readonly approvals?: readonly { readonly id: string; readonly tool: string }[];
}

const dataOf = ({ structuredContent }: CallToolResult) => structuredContent as unknown as Structured;

/** As somebody else does over HTTP. */
async function decide(approvalId: string, decision: 'approve' | 'reject'): Promise<number> {
  const path = `/customers/ann/approvals/${approvalId}`;
  return (await server.call('POST', path, { body: { decision, reason: 'over HTTP' } })).status;
}

describe('an MCP client that can ask its person', () => {
  it('has the call approved by that person, in the middle of execute_code', async () => {
    await using person = await agent(() => ({ action: 'accept', content: { approve: true, reason: 'fine' } }));
    const before = await sent();
    const result = await person.call('execute_code', { code: paying(1) });
    expect(dataOf(result)).toMatchObject({ status: 'completed', value: 'paid' });
    expect(await sent()).toBe(before + 1);
    expect(person.asked).toMatchObject([{ message: 'A program wants to call bank.pay with {"cents":1}' }]);
  });

  it.each([
    ['says no', { action: 'accept', content: { approve: false, reason: 'too much' } }, 'at an agent: too much'],
    ['declines', { action: 'decline' }, 'at an agent'],
  ] as const)('has the call rejected when the person %s', async (_, answer, text) => {
    await using person = await agent(() => ({ ...answer }));
    const before = await sent();
    const result = await person.call('execute_code', { code: paying(2) });
    const value = `rejected: bank.pay was rejected by the person ${text}`;
    expect(dataOf(result)).toMatchObject({ status: 'completed', value });
    expect(await sent()).toBe(before);
  });

  it('is told that it is paused when the person does not decide, and asks again with get_execution', async () => {
    const answers: ElicitResult[] = [{ action: 'cancel' }, { action: 'accept', content: { approve: true } }];
    await using person = await agent(() => answers.shift() ?? { action: 'cancel' });
    const paused = await person.call('execute_code', { code: paying(3) });
    expect(paused.isError).toBeUndefined();
    expect(dataOf(paused)).toMatchObject({ status: 'paused', approvals: [{ tool: 'bank.pay' }] });
    const done = await person.call('get_execution', { execution_id: dataOf(paused).execution_id });
    expect(dataOf(done)).toMatchObject({ status: 'completed', value: 'paid' });
    expect(person.asked).toHaveLength(2);
  });

  it('is not asked any longer when somebody else has decided', async () => {
    const open = Promise.withResolvers<ElicitResult>();
    await using person = await agent(() => open.promise);
    const result = person.call('execute_code', { code: paying(4) });
    await eventually(() => person.asked.length === 1);
    const { items } = (await server.call('GET', '/customers/ann/approvals')).body as {
      items: readonly PendingApproval[];
    };
    expect(await decide(String(items[0]?.approvalId), 'reject')).toBe(200);
    const value = 'rejected: bank.pay was rejected by administrator: over HTTP';
    expect(dataOf(await result)).toMatchObject({ status: 'completed', value });
    open.resolve({ action: 'accept', content: { approve: true } });
    expect(dataOf(await result)).toMatchObject({ value });
  });

  it('decides on nothing with a key that may not', async () => {
    const { secret } = await server.store.create({ name: 'agent', role: 'customer', customer: 'ann' });
    await using person = await agent(() => ({ action: 'accept', content: { approve: true } }), {
      key: secret.reveal(),
    });
    const paused = await person.call('execute_code', { code: paying(5) });
    expect(dataOf(paused).status).toBe('paused');
    expect(person.asked).toEqual([]);
    await decide(String(dataOf(paused).approvals?.[0]?.id), 'reject');
  });

  it('is asked for a tool that it calls directly, too', async () => {
    await using person = await agent(() => ({ action: 'accept', content: { approve: true } }), {
      query: '?tools=both',
    });
    const before = await sent();
    const result = await person.call('bank__pay', { cents: 6 });
    expect(result.structuredContent).toMatchObject({ arguments: { cents: 6 } });
    expect(await sent()).toBe(before + 1);
    expect(person.asked).toHaveLength(1);
  });
});

describe('an MCP client that can ask nobody', () => {
  it('is told at once that a tool that it calls directly is paused; once approved, the call is made', async () => {
    await using model = await agent(undefined, { query: '?tools=direct' });
    const before = await sent();
    const paused = await model.call('bank__pay', { cents: 8 });
    expect(paused.isError).toBe(true);
    expect(textOf(paused)).toMatch(/^paused: a person has to approve bank\.pay\(\{"cents":8\}\): workcell approvals/);
    expect(textOf(paused)).toMatch(/made by itself, as execution exe_\w+: do not call it again$/);
    const [approvalId = ''] = /apr_\w+/.exec(textOf(paused)) ?? [];
    expect(await sent()).toBe(before);
    expect(await decide(approvalId, 'approve')).toBe(200);
    await eventually(async () => (await sent()) === before + 1);
  });

  it('gets "paused" at once, with who decides where, and the result once that is decided', async () => {
    await using model = await agent();
    const before = await sent();
    const paused = await model.call('execute_code', { code: paying(7) });
    expect(paused.isError).toBeUndefined();
    const { execution_id: id, approvals = [] } = dataOf(paused);
    expect(dataOf(paused)).toMatchObject({ status: 'paused', approvals: [{ tool: 'bank.pay' }] });
    const approvalId = String(approvals[0]?.id);
    expect(textOf(paused)).toContain(`workcell approvals approve ${approvalId} --customer ann`);
    expect(textOf(paused)).toContain('bank.pay({"cents":7})');

    const looking = model.call('get_execution', { execution_id: id });
    expect(await decide(approvalId, 'approve')).toBe(200);
    expect(dataOf(await looking)).toMatchObject({ status: 'completed', value: 'paid' });
    expect(await sent()).toBe(before + 1);
    expect(await decide(approvalId, 'approve')).toBe(200);
    expect(await decide(approvalId, 'reject')).toBe(409);
  });
});
