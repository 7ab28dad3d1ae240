import { once } from 'node:events';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiServer, openApiServer } from '../support/api-server.ts';
import { eventually } from '../support/processes.ts';

let api: ApiServer;
beforeAll(async () => {
  api = await openApiServer({
    server: { maxExecutions: 3 },
    quotas: { customers: { 'acme.one': { executions: 1 }, 'acme.cpu': { cpuSecondsPerDay: 10 } } },
  });
});
afterAll(async () => api?.[Symbol.asyncDispose]());

const keyOf = async (customer: string) => api.store.create({ name: 'a', role: 'customer', customer });
const WAITS = `import { existsSync } from 'node:fs';
  while (!existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 10)); return 1;`;
const run = (key: string, customer: string, body: object) =>
  api.call('POST', `/customers/${customer}/executions`, { key, body });

it('32 clients at once are all served, whatever customers they are of, by a server that runs three programs at a time', async () => {
  const keys = await Promise.all(['acme.a', 'acme.b', 'box.a', 'c'].map(async (id) => [id, await keyOf(id)] as const));
  const answers = await Promise.all(
    Array.from({ length: 32 }, async (_, n) => {
      const [id, { secret }] = keys[n % 4] ?? ['', { secret: undefined }];
      const { status, body } = await run(secret?.reveal() ?? '', id, { code: `return ${n}`, executionId: `exe_n${n}` });
      return { status, value: (body as { value?: unknown }).value };
    }),
  );
  expect(answers).toEqual(Array.from({ length: 32 }, (_, n) => ({ status: 200, value: n })));
});

describe('an execution over a quota', () => {
  it('is refused with what is used, and when to try again; the same id again is no further execution', async () => {
    const key = (await keyOf('acme.one')).secret.reveal();
    const first = run(key, 'one', { code: WAITS, executionId: 'exe_first' });
    const summary = () => api.call('GET', '/customers/one/executions/exe_first', { key });
    await eventually(async () => (await summary()).status === 200);
    const refused = await run(key, 'one', { code: 'return 2' });
    expect(refused).toMatchObject({
      status: 429,
      headers: { 'retry-after': '1', 'content-type': expect.stringContaining('application/problem+json') },
      body: {
        code: 'quota_exceeded',
        retryable: true,
        details: { quota: 'executions', limit: 1, used: 1, retryAfterMs: 1000 },
      },
    });
    const again = run(key, 'one', { code: WAITS, executionId: 'exe_first' });
    await api.call('PUT', '/customers/one/files/go', { key, body: 'x', headers: { 'content-type': 'text/plain' } });
    expect([await first, await again]).toMatchObject([{ body: { value: 1 } }, { body: { value: 1 } }]);
    expect(await run(key, 'one', { code: 'return 2' })).toMatchObject({ status: 200, body: { value: 2 } });
    const list = await api.call('GET', '/customers/one/executions', { key });
    expect((list.body as { items: unknown[] }).items).toHaveLength(2);
    for (const code of ['return 3', 'no program', 'return 4', 'no program', 'return 5'])
      expect((await run(key, 'one', { code })).status, code).toBe(200);
  });

  it('that could never fit is refused for good, with the limit', async () => {
    const key = (await keyOf('acme.cpu')).secret.reveal();
    const { status, headers, body } = await run(key, 'cpu', { code: 'return 1', timeoutMs: 11_000 });
    expect({ status, wait: headers['retry-after'], body }).toMatchObject({
      status: 400,
      wait: undefined,
      body: { retryable: false, details: { quota: 'cpuSecondsPerDay', limit: 10, wanted: 11 } },
    });
    expect((await run(key, 'cpu', { code: 'return 1', timeoutMs: 10_000 })).status).toBe(200);
    const { body: metrics } = await request(`${api.url}/metrics`, { headers: { authorization: `Bearer ${api.key}` } });
    expect(await metrics.text()).toMatch(/quota_refusals_total\{quota="cpuSecondsPerDay"\} 1/);
  });
});

it('an execution that waits for its turn is cancelled at once, whatever its client waits for, and never starts', async () => {
  const place = '/customers/acme.a/executions';
  const ids = ['exe_runs1', 'exe_runs2', 'exe_runs3'];
  const running = ids.map((executionId) => run(api.key, 'acme.a', { code: WAITS, executionId }));
  await eventually(async () => {
    const found = await Promise.all(ids.map((id) => api.call('GET', `${place}/${id}`)));
    return found.every(({ status }) => status === 200);
  });
  const body = { code: 'return 1', executionId: 'exe_waits' };
  const begin = (headers: Record<string, string>) => api.call('POST', place, { body, headers });
  const waiting = [begin({}), begin({ accept: 'application/x-ndjson' }), begin({ prefer: 'respond-async' })];
  const answers: unknown[] = [];
  for (const each of waiting) void each.then((answer) => answers.push(answer));
  const ended = new Set<number>();
  // Each may come before the requests that it is to end.
  await eventually(async () => {
    ended.add((await api.call('DELETE', `${place}/exe_waits`)).status);
    return answers.length === waiting.length;
  });
  expect(ended).toContain(204);
  for (const answer of answers)
    expect(answer).toMatchObject({ status: 499, body: { code: 'cancelled', retryable: true } });
  expect(await api.call('GET', `${place}/exe_waits`)).toMatchObject({ status: 404 });
  expect(await api.call('DELETE', `${place}/exe_waits`)).toMatchObject({ status: 404 });
  for (const id of ids) expect(await api.call('DELETE', `${place}/${id}`)).toMatchObject({ status: 204 });
  for (const answer of await Promise.all(running)) expect(answer.body).toMatchObject({ status: 'killed' });
});

it('a key that is revoked loses the stream of an execution, which goes on for others', async () => {
  const { secret, key } = await keyOf('acme.streamed');
  const { body } = await request(`${api.url}/customers/streamed/executions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${secret.reveal()}`,
      'content-type': 'application/json',
      accept: 'application/x-ndjson',
    },
    body: JSON.stringify({ code: WAITS, executionId: 'exe_streamed' }),
  });
  await once(body, 'readable');
  const rest = body.text().then(
    () => 'complete',
    () => 'cut off',
  );
  expect((await api.call('DELETE', `/customers/acme.streamed/keys/${key.id}`)).status).toBe(200);
  expect(await rest).toBe('cut off');
  const path = '/customers/acme.streamed';
  await api.call('PUT', `${path}/files/go`, { body: 'x', headers: { 'content-type': 'text/plain' } });
  const events = await api.call('GET', `${path}/executions/exe_streamed`, {
    headers: { accept: 'application/x-ndjson' },
  });
  expect(events.text).toMatch(/"type":"finished".*"value":1/);
});
