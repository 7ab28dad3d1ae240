import { join } from 'node:path';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecutionSummary, PendingApproval, RecordedResult } from '../../src/core/execution.ts';
import { type ApiAnswer, type ApiServer, openApiServer } from '../support/api-server.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const ANN = '/customers/ann';
const PAY = "import { pay } from 'servers/bank'; return await pay({ cents: 1 }).catch((error) => error.code);";

let folder: TempFolder;
let api: ApiServer;

beforeAll(async () => {
  folder = await tempFolder();
  const inputSchema = { type: 'object', properties: { cents: { type: 'number' } } };
  const tools = [{ name: 'pay', description: 'Pays', inputSchema }];
  api = await openApiServer({
    mcpServers: { bank: doubleServer({ tools, log: join(folder.path, 'log') }, { requireApproval: 'always' }) },
  });
});
afterAll(async () => {
  await api?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const run = (body: object) => api.call('POST', `${ANN}/executions`, { body });
/** A body that is no text. */
async function download(path: string, headers: Record<string, string>): Promise<Buffer> {
  const response = await request(`${api.url}${path}`, { headers: { authorization: `Bearer ${api.key}`, ...headers } });
  const bytes = Buffer.from(await response.body.arrayBuffer());
  expect(response.statusCode, bytes.toString()).toBe(200);
  return bytes;
}
const linesOf = ({ text }: ApiAnswer) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly seq: number; readonly type: string });

describe('a session', () => {
  it('is made, keeps what was done in it, and is listed', async () => {
    const created = await api.call('POST', `${ANN}/sessions`, { body: { sessionId: 'work' } });
    expect(created).toMatchObject({ status: 201, headers: { location: `${ANN}/sessions/work` } });
    expect(await api.call('POST', `${ANN}/sessions`, { body: { sessionId: 'work' } })).toMatchObject({ status: 409 });
    for (const value of [1, 2, 3]) await run({ code: `return ${value}`, session: 'work' });
    const first = (await api.call('GET', `${ANN}/sessions/work?limit=2`)).body as { readonly nextCursor: string };
    expect(first).toMatchObject({
      sessionId: 'work',
      customer: 'ann',
      endedAt: null,
      taskCount: 3,
      tasks: [{ result: 2 }, { result: 3, status: 'completed' }],
    });
    const older = await api.call('GET', `${ANN}/sessions/work?limit=2&cursor=${first.nextCursor}`);
    expect(older.body).toMatchObject({ tasks: [{ result: 1 }], nextCursor: null });
    expect((await api.call('GET', `${ANN}/sessions`)).body).toMatchObject({
      items: [{ sessionId: 'work', executions: 3, state: 'open' }],
      nextCursor: null,
    });
  });

  it('tells its log from any event on', async () => {
    const all = linesOf(await api.call('GET', `${ANN}/sessions/work/log`));
    expect(all.map(({ seq }) => seq)).toEqual(all.map((_, index) => index + 1));
    expect(all[0]?.type).toBe('session.created');
    expect(linesOf(await api.call('GET', `${ANN}/sessions/work/log?after=2`))).toEqual(all.slice(2));
  });

  it('has a checkpoint, is closed, and resumed with it', async () => {
    const checkpoint = { step: 'paid', lastTask: null, context: { cents: 1 } };
    expect(await api.call('POST', `${ANN}/sessions/work/checkpoint`, { body: checkpoint })).toMatchObject({
      status: 204,
    });
    expect(await api.call('POST', `${ANN}/sessions/work/close`)).toMatchObject({ status: 204 });
    expect((await api.call('GET', `${ANN}/sessions/work`)).body).toMatchObject({
      endedAt: expect.any(String),
      checkpoint,
    });
    expect(await api.call('POST', `${ANN}/sessions/work/resume`)).toMatchObject({
      status: 200,
      body: { sessionId: 'work', interrupted: [], paused: [], resumed: [], checkpoint },
    });
  });

  it('goes to another customer as one file, with the files of the workspace', async () => {
    await api.call('PUT', `${ANN}/files/note.txt`, { body: 'kept', headers: { 'content-type': 'text/plain' } });
    const sealed = { 'x-passphrase': 'a passphrase that is long enough' };
    const archive = await download(`${ANN}/sessions/work/export`, sealed);
    const send = (query: string, headers: Record<string, string>) =>
      api.call('POST', `/customers/eve/sessions/import?${query}`, {
        body: archive,
        headers: { 'content-type': 'application/octet-stream', ...headers },
      });
    expect(await send('', { 'x-passphrase': 'another that is long enough' })).toMatchObject({ status: 400 });
    expect(await api.call('GET', '/customers/eve/files/note.txt')).toMatchObject({ status: 404 });
    expect(await send('as=moved', sealed)).toMatchObject({
      status: 201,
      headers: { location: '/customers/eve/sessions/moved' },
      body: { sessionId: 'moved', executions: 3, from: { customer: 'ann', session: 'work' }, files: { files: 1 } },
    });
    expect((await api.call('GET', '/customers/eve/files/note.txt')).text).toBe('kept');
    expect((await api.call('GET', '/customers/eve/sessions/moved')).body).toMatchObject({ taskCount: 3 });
    expect(await send('as=moved', sealed)).toMatchObject({ status: 409 });
  });

  it('that is deleted is gone, and so is the history of its executions', async () => {
    const { executionId } = (await run({ code: 'return 1', session: 'short' })).body as RecordedResult;
    expect((await api.call('DELETE', `${ANN}/sessions/short`)).status).toBe(204);
    expect(await api.call('GET', `${ANN}/sessions/short`)).toMatchObject({ status: 404 });
    for (const accept of ['application/json', 'text/event-stream']) {
      const answer = await api.call('GET', `${ANN}/executions/${executionId}`, { headers: { accept } });
      expect(answer).toMatchObject({ status: 410, body: { code: 'history_gone' } });
    }
    expect(await run({ code: 'return 1', executionId })).toMatchObject({ status: 410 });
  });
});

describe('a call that needs an approval', () => {
  it.each([
    ['approve', 'completed'],
    ['reject', 'completed'],
  ])('pauses its program until somebody has decided to %s', async (decision, status) => {
    const paused = await run({ code: PAY });
    expect(paused).toMatchObject({ status: 202, body: { state: 'paused', result: null } });
    const { executionId, approvals } = paused.body as ExecutionSummary;
    const listed = (await api.call('GET', `${ANN}/approvals`)).body as { readonly items: readonly PendingApproval[] };
    expect(listed.items).toMatchObject([
      { approvalId: approvals[0]?.approvalId, executionId, server: 'bank', tool: 'pay', arguments: { cents: 1 } },
    ]);
    const path = `${ANN}/approvals/${approvals[0]?.approvalId}`;
    const decided = { status: 200, body: { approved: decision === 'approve', by: 'administrator', executionId } };
    expect(await api.call('POST', path, { body: { decision } })).toMatchObject(decided);
    expect(await api.call('POST', path, { body: { decision } })).toMatchObject(decided);
    const contrary = decision === 'approve' ? 'reject' : 'approve';
    expect(await api.call('POST', path, { body: { decision: contrary } })).toMatchObject({ status: 409 });
    const result = await eventually(async () => {
      const { body } = await api.call('GET', `${ANN}/executions/${executionId}`);
      return (body as ExecutionSummary).result ?? undefined;
    });
    expect(result.status).toBe(status);
    if (decision === 'reject') expect(result.value).toBe('rejected');
  });
});
