import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecutionSummary, HistoryEvent, RecordedResult } from '../../src/core/execution.ts';
import { type ApiAnswer, type ApiServer, openApiServer } from '../support/api-server.ts';
import { eventually } from '../support/processes.ts';

const SLOW = 'console.log("first"); await new Promise((done) => setTimeout(done, 60_000)); console.log("last");';
const ANN = '/customers/ann/executions';

let api: ApiServer;
let made = 0;

beforeAll(async () => {
  api = await openApiServer();
});
afterAll(async () => api[Symbol.asyncDispose]());

const nextId = () => `test-${++made}`;
const post = (body: object, headers: Record<string, string> = {}) => api.call('POST', ANN, { body, headers });
const resultOf = ({ body }: ApiAnswer) => body as RecordedResult;

/** Reads a stream of events until `enough`, or to its end; then hangs up. */
async function read(
  method: 'GET' | 'POST',
  path: string,
  { body, headers = {}, enough = () => false }: ReadOptions = {},
): Promise<{ readonly events: readonly HistoryEvent[]; readonly headers: Readonly<Record<string, unknown>> }> {
  const response = await request(`${api.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${api.key}`,
      accept: 'application/x-ndjson',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? null : JSON.stringify(body),
  });
  expect(response.statusCode).toBe(200);
  const events: HistoryEvent[] = [];
  let rest = '';
  for await (const chunk of response.body) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    events.push(...lines.filter((line) => line !== '').map((line) => JSON.parse(line) as HistoryEvent));
    if (events.some(enough)) break;
  }
  return { events, headers: response.headers };
}

interface ReadOptions {
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly enough?: (event: HistoryEvent) => boolean;
}

describe('a program', () => {
  it('is answered with its result as JSON', async () => {
    const answer = await post({ code: 'console.log("hi"); return { sum: 1 + 1 };' });
    expect(answer).toMatchObject({
      status: 200,
      body: { status: 'completed', value: { sum: 2 }, stdout: 'hi\n', customer: 'ann' },
    });
    const { executionId } = resultOf(answer);
    expect(answer.headers).toMatchObject({ location: `${ANN}/${executionId}`, 'x-execution-id': executionId });
    expect(await api.call('GET', `${ANN}/${executionId}`)).toMatchObject({
      status: 200,
      body: { executionId, state: 'completed', result: { value: { sum: 2 } } },
    });
  });

  it('that fails is a result, too', async () => {
    expect(await post({ code: 'throw new TypeError("no")' })).toMatchObject({
      status: 200,
      body: { status: 'failed', error: { name: 'TypeError', message: 'no' } },
    });
  });

  it('is told event by event, each with the next number', async () => {
    const { events, headers } = await read('POST', ANN, { body: { code: 'console.log("a"); console.error("b");' } });
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.at(0)).toMatchObject({ type: 'started', executionId: headers['x-execution-id'] });
    expect(events.map(({ type }) => type).toSorted()).toEqual(['finished', 'started', 'stderr', 'stdout']);
    expect(events.at(-1)).toMatchObject({ type: 'finished', result: { status: 'completed' } });
    expect(headers['content-type']).toBe('application/x-ndjson');
  });

  it('is told as server-sent events whose ids are the numbers', async () => {
    const { text, headers } = await post({ code: 'console.log("a")' }, { accept: 'text/event-stream' });
    expect(headers['content-type']).toBe('text/event-stream');
    const events = text.trimEnd().split('\n\n');
    expect(events.at(0)).toMatch(/^id: 1\nevent: started\ndata: \{"seq":1,.*\}$/);
    expect(events.at(-1)).toMatch(/^id: 3\nevent: finished\ndata: \{/);
  });

  it('goes on when its client goes away, and is told on from where that was', async () => {
    const executionId = nextId();
    const code = `console.log("one");
      const { existsSync } = await import("node:fs");
      while (!existsSync("go-on")) await new Promise((done) => setTimeout(done, 20));
      console.log("two");`;
    const { events: before } = await read('POST', ANN, {
      body: { code, executionId },
      enough: ({ type }) => type === 'stdout',
    });
    const after = before.at(-1)?.seq;
    const told = read('GET', `${ANN}/${executionId}?after=${after}&follow=true`);
    await api.call('PUT', '/customers/ann/files/go-on', { body: 'x' });
    const { events } = await told;
    expect([...before, ...events].map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    expect(events.at(-1)).toMatchObject({ type: 'finished', result: { stdout: 'one\ntwo\n' } });
    const headers = { accept: 'text/event-stream', 'last-event-id': '3' };
    expect((await api.call('GET', `${ANN}/${executionId}`, { headers })).text).toMatch(
      /^id: 4\nevent: finished\n[^\n]*\n\n$/,
    );
    expect((await read('GET', `${ANN}/${executionId}?follow=false`)).events).toEqual([...before, ...events]);
  });

  it('with an id that is known is the same execution, and no second run', async () => {
    const executionId = nextId();
    const code = 'return Math.random()';
    const first = resultOf(await post({ code, executionId }));
    expect(first).toMatchObject({ status: 'completed', value: expect.any(Number) });
    expect(resultOf(await post({ code, executionId }))).toEqual(first);
    expect(await post({ code: 'return 1', executionId })).toMatchObject({
      status: 409,
      body: { code: 'already_exists' },
    });
  });

  it('that nobody waits for is answered at once, and ended by DELETE, as often as one likes', async () => {
    const executionId = nextId();
    const started = await post({ code: SLOW, executionId }, { prefer: 'respond-async' });
    expect(started).toMatchObject({
      status: 202,
      headers: { 'preference-applied': 'respond-async', location: `${ANN}/${executionId}` },
      body: { executionId, result: null },
    });
    await read('GET', `${ANN}/${executionId}`, { enough: ({ type }) => type === 'stdout' });
    expect((await api.call('DELETE', `${ANN}/${executionId}`)).status).toBe(204);
    expect((await api.call('DELETE', `${ANN}/${executionId}`)).status).toBe(204);
    expect((await api.call('GET', `${ANN}/${executionId}`)).body).toMatchObject({
      state: 'killed',
      result: { status: 'killed', stdout: 'first\n' },
    });
    expect(await api.call('DELETE', `${ANN}/none`)).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });

  it('may lower its limits, and not raise them', async () => {
    const code = 'console.log("x".repeat(2_000_000))';
    const bytesOf = async (outputBytes: number) =>
      resultOf(await post({ code, limits: { outputBytes } })).stdout.length;
    expect(await bytesOf(10)).toBeLessThan(100);
    expect(await bytesOf(10_000_000)).toBeLessThan(1_100_000);
  });

  it.each([
    ['neither code nor a task', {}, 400],
    ['a field that there is not', { code: '1', langauge: 'python' }, 400],
    ['a language that there is not', { code: '1', language: 'cobol' }, 400],
    ['a time of nothing', { code: '1', timeoutMs: 0 }, 400],
    ['an id that is none', { code: '1', executionId: 'a/b' }, 400],
    ['a tool that there is not', { code: '1', tools: ['no.such'] }, 404],
    ['a task that no tool fits', { task: 'fold the laundry' }, 422],
  ])('with %s is refused', async (_what, body, status) => {
    expect(await post(body)).toMatchObject({ status, body: { status, requestId: expect.any(String) } });
  });

  it('is listed, the latest first', async () => {
    const list = (query: string) => api.call('GET', `${ANN}?${query}`);
    const all = (await list('limit=200')).body as { items: { executionId: string }[]; nextCursor: null };
    expect(all).toMatchObject({
      nextCursor: null,
      items: expect.arrayContaining([expect.objectContaining({ state: 'completed' })]),
    });
    const ids: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = (await list(`limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`)).body as {
        items: { executionId: string }[];
        nextCursor: string | null;
      };
      ids.push(...page.items.map(({ executionId }) => executionId));
      cursor = page.nextCursor;
    }
    expect(ids).toEqual(all.items.map(({ executionId }) => executionId));
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('a stream', () => {
  it('has its headers before there is anything to tell', async () => {
    const executionId = nextId();
    await post({ code: SLOW, executionId }, { prefer: 'respond-async' });
    const lastSeq = await eventually(async () => {
      const { body } = await api.call('GET', `${ANN}/${executionId}`);
      return (body as ExecutionSummary).lastSeq === 2 && 2;
    });
    const response = await request(`${api.url}${ANN}/${executionId}?after=${lastSeq}`, {
      headers: { authorization: `Bearer ${api.key}`, accept: 'application/x-ndjson' },
    });
    expect(response.statusCode).toBe(200);
    await api.call('DELETE', `${ANN}/${executionId}`);
    expect(await response.body.text()).toMatch(/^\n*\{"seq":3,.*"type":"finished".*\}\n$/);
  });

  it('of an execution that there is not, or of another customer, is not begun', async () => {
    await api.call('PUT', '/customers/bob');
    const executionId = nextId();
    await post({ code: '1', executionId });
    const headers = { accept: 'text/event-stream' };
    expect(await api.call('GET', `/customers/bob/executions/${executionId}`, { headers })).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
  });
});
