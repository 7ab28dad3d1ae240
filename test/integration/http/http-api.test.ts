import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OpenApiDocument } from '../../../src/http/openapi.ts';
import { type ApiServer, openApiServer } from '../../support/api-server.ts';

let api: ApiServer;
let acme: string;

beforeAll(async () => {
  api = await openApiServer({ driver: 'quiet' });
  acme = (await api.store.create({ name: 'a', role: 'organisation', org: 'acme' })).secret.reveal();
});
afterAll(async () => api[Symbol.asyncDispose]());

describe('a customer', () => {
  it('is made once, listed and looked at', async () => {
    expect(await api.call('GET', '/customers/ann')).toMatchObject({ status: 404 });
    expect(await api.call('PUT', '/customers/ann')).toMatchObject({ status: 201, body: { customer: 'ann' } });
    expect(await api.call('PUT', '/customers/ann')).toMatchObject({ status: 200, body: { customer: 'ann' } });
    expect(await api.call('GET', '/customers/ann')).toMatchObject({ status: 200, body: { customer: 'ann' } });
    await api.call('PUT', '/customers/bob');
    const first = (await api.call('GET', '/customers?limit=1')).body as { nextCursor: string };
    expect(first).toEqual({ items: [{ customer: 'ann' }], nextCursor: expect.any(String) });
    expect((await api.call('GET', `/customers?limit=1&cursor=${first.nextCursor}`)).body).toEqual({
      items: [{ customer: 'bob' }],
      nextCursor: null,
    });
  });

  it('of another organisation looks like one that does not exist', async () => {
    await api.call('PUT', '/customers/there');
    const strip = ({ status, text }: { status: number; text: string }) => ({
      status,
      text: text.replace(/req_[^"]*/, ''),
    });
    const [there, nowhere] = [
      await api.call('GET', '/customers/there', { key: acme }),
      await api.call('GET', '/customers/nowhere', { key: acme }),
    ];
    expect(strip(there)).toEqual({ ...strip(nowhere), text: strip(nowhere).text.replace('nowhere', 'there') });
    expect(there.status).toBe(404);
  });
});

describe('a failure', () => {
  it('is a problem with the code, the id of the request and the fields that are wrong', async () => {
    const answer = await api.call('GET', '/customers?limit=0&order=up', { headers: { 'x-request-id': 'mine-1' } });
    expect(answer).toMatchObject({
      status: 400,
      headers: { 'content-type': expect.stringMatching(/^application\/problem\+json/), 'x-request-id': 'mine-1' },
      body: { status: 400, code: 'invalid_argument', requestId: 'mine-1', retryable: false },
    });
    const { details } = answer.body as { details: { problems: readonly { in: string; field: string }[] } };
    expect(details.problems.map(({ in: place, field }) => [place, field])).toEqual([
      ['query', 'limit'],
      ['query', ''],
    ]);
  });

  it('for want of a key says how one is sent', async () => {
    for (const key of [null, 'wrong'])
      expect(await api.call('GET', '/customers', { key })).toMatchObject({
        status: 401,
        headers: { 'www-authenticate': 'Bearer' },
      });
  });

  it.each([
    ['POST', '/customers/ann/files', { body: {} }, 'give "folder", or "from"'],
    ['GET', '/customers/ann/tools/search', {}, '"q": give 1 to 20 texts'],
    ['GET', '/customers/ann/files?path=a/../b', {}, 'The path "a/../b" is not valid: ".." is not a name in it'],
    ['PUT', '/customers/ann', { body: '{}' }, 'This route takes application/json; the request has ""'],
  ])('of %s %s says what is wrong', async (method, path, call, detail) => {
    expect(await api.call(method, path, call)).toMatchObject({ body: { detail: expect.stringContaining(detail) } });
  });

  it('has an id of the server where the client sends none that is well-formed', async () => {
    const answer = await api.call('GET', '/customers', { headers: { 'x-request-id': 'two words' } });
    expect(answer.headers['x-request-id']).toMatch(/^req_[0-9a-f-]{36}$/);
  });

  it('below /v1 is told in the words of the sandbox API, elsewhere as a problem', async () => {
    expect((await api.call('GET', '/v1/nothing')).body).toMatchObject({ error: { code: 'not_found' } });
    expect((await api.call('GET', '/nothing')).body).toMatchObject({ code: 'not_found', status: 404 });
    expect((await api.call('GET', '/v1/sandboxes', { key: 'wrong' })).body).toMatchObject({
      error: { code: 'invalid_api_key' },
    });
    expect((await api.call('GET', '/customers', { key: 'wrong' })).body).toMatchObject({ code: 'unauthenticated' });
    expect((await api.call('GET', '/customers/%E0%A4%A')).body).toMatchObject({ code: 'invalid_argument' });
  });

  it.each([
    ['a body where none is taken', 'PUT', '/customers/ann', { body: { a: 1 } }, 400],
    [
      'a body that is no JSON',
      'PUT',
      '/customers/ann',
      { body: '{', headers: { 'content-type': 'application/json' } },
      400,
    ],
    ['a body of another type', 'PUT', '/customers/ann', { body: 'a', headers: { 'content-type': 'text/csv' } }, 415],
    ['a body of text', 'PUT', '/customers/ann', { body: '{}', headers: { 'content-type': 'text/plain' } }, 415],
    ['a body of no type', 'PUT', '/customers/ann', { body: '{}' }, 415],
    [
      'a body that is no UTF-8',
      'POST',
      '/customers/ann/executions',
      {
        body: Buffer.from('{"code": "return \'\xe9\'"}', 'latin1'),
        headers: { 'content-type': 'application/json; charset=latin1' },
      },
      400,
    ],
    ['a body that is too large', 'PUT', '/customers/ann', { body: { a: 'a'.repeat(1024 * 1024) } }, 413],
    ['an answer of another type', 'GET', '/customers', { headers: { accept: 'text/csv' } }, 406],
    ['a preflight request', 'OPTIONS', '/customers', {}, 403],
    ['a customer id that is none', 'GET', '/customers/a%20b', {}, 400],
  ])('answers %s', async (_what, method, path, call, status) => {
    expect(await api.call(method, path, call)).toMatchObject({ status, body: { status } });
  });
});

describe('a method that a path does not take', () => {
  it.each([
    ['DELETE', '/customers?limit=1', 'GET, HEAD'],
    ['POST', '/customers/ann', 'GET, HEAD, PUT'],
    ['PUT', '/customers/ann/sessions/import', 'DELETE, GET, HEAD, POST'],
    ['POST', '/customers/ann/files/a/b', 'DELETE, GET, HEAD, PUT'],
    ['HEAD', '/customers/ann/archive/', undefined],
    ['PUT', '/customers/nobody/executions', 'GET, HEAD, POST'],
    ['PUT', '/customers/ann/mcp', 'DELETE, GET, POST'],
    ['POST', '/docs', 'GET, HEAD'],
    ['POST', '/customers/a%20b', undefined],
    ['POST', '/customers/', undefined],
    ['POST', '/nothing', undefined],
    ['POST', '/v1/quotas', undefined],
  ])('%s %s: the answer names those that it does take, %s', async (method, path, allow) => {
    const { status, headers, body } = await api.call(method, path, { headers: { 'content-type': 'text/plain' } });
    expect([status, headers['allow']]).toEqual(allow === undefined ? [404, undefined] : [405, allow]);
    if (allow !== undefined) expect(body).toMatchObject({ status, code: 'method_not_allowed', retryable: false });
  });

  it('is told to who could see the path alone', async () => {
    await api.call('PUT', '/customers/there');
    expect(await api.call('PATCH', '/customers/ann/usage', { key: acme })).toMatchObject({ status: 405 });
    expect(await api.call('PATCH', '/customers/ann/usage', { key: null })).toMatchObject({ status: 401 });
    for (const id of ['default.there', 'default.nowhere']) {
      const { status, headers, body } = await api.call('PATCH', `/customers/${id}/usage`, { key: acme });
      const detail = `There is no PATCH /customers/${id}/usage`;
      expect({ status, allow: headers['allow'], body }).toMatchObject({
        status: 404,
        allow: undefined,
        body: { detail },
      });
    }
  });
});

describe('the documentation', () => {
  it('needs no key and describes every route', async () => {
    const { status, body } = await api.call('GET', '/openapi.json', { key: null });
    expect(status).toBe(200);
    const { openapi, paths, components } = body as OpenApiDocument;
    expect(openapi).toBe('3.1.1');
    expect(Object.keys(paths['/customers/{customer}'] ?? {})).toEqual(['get', 'put']);
    expect(Object.keys(components.schemas)).toContain('Problem');
    const page = await api.call('GET', '/docs', { key: null });
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.text).toContain('/customers/{customer}');
    expect(page.text).not.toMatch(/<script|src=|href="https?:/);
  });

  it('answers HEAD as GET without its body', async () => {
    expect(await api.call('HEAD', '/customers')).toMatchObject({ status: 200, text: '' });
  });
});
