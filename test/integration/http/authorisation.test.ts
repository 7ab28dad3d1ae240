import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SCOPES } from '../../../src/core/principal.ts';
import type { OpenApiDocument } from '../../../src/http/openapi.ts';
import { KeyStore } from '../../../src/sandbox/key-store.ts';
import { type ApiServer, openApiServer } from '../../support/api-server.ts';
import { sandboxSpec } from '../../support/sandbox-server.ts';

/** Whose key a request has; what it asks for belongs to the customer `ann` of the organisation `acme`. */
const KEYS = [
  'none',
  'wrong',
  'expired',
  'revoked',
  'of another customer',
  'of another organisation',
  'of the customer',
  'of the organisation',
  'of an administrator',
] as const;
type Key = (typeof KEYS)[number];

interface Row {
  /** The status for each of {@link KEYS}. */
  readonly expected: readonly number[];
  /** What comes after the path of the route. */
  readonly query?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}
type Request = Omit<Row, 'expected'>;

const NOBODY = [401, 401, 401, 401];

/** A route for anybody. */
const open = (status: number): Row => ({ expected: KEYS.map(() => status) });

/** A route of an organisation, which no key of a customer reaches. */
const organisation = (other: number, own: number, request: Request = {}): Row => ({
  expected: [...NOBODY, 403, other, 403, own, own],
  ...request,
});

/** A volume or an event of the organisation: nobody else has it, an administrator neither. */
const alone = (own: number, request: Request = {}): Row => ({
  expected: [...NOBODY, 403, 404, 403, own, 404],
  ...request,
});

/** A route of one customer. */
const customer = (own: number, request: Request = {}): Row => ({
  expected: [...NOBODY, 404, 404, own, own, own],
  ...request,
});

/** A route about keys, which those of customers are not good for unless they say so. */
const keysOf = (own: number, request: Request = {}): Row => ({
  expected: [...NOBODY, 403, 404, 403, own, own],
  ...request,
});

/** `a`, as volumes want it. */
const FILE = { 'x-msb-file-path': 'YQ' };

const METRICS = { jsonrpc: '2.0', method: 'sandbox.metrics.get', params: { namespace: '*' }, id: 1 };

/** Two blocks of nothing. */
const EMPTY_TAR = Buffer.alloc(1024);
const INITIALIZE = {
  headers: { accept: 'application/json, text/event-stream' },
  body: {
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
  },
};

const ROUTES: Readonly<Record<string, Row>> = {
  'GET /healthz': open(200),
  'GET /readyz': open(200),
  'GET /openapi.json': open(200),
  'GET /docs': open(200),
  'GET /metrics': { expected: [...NOBODY, 403, 403, 403, 403, 200] },

  'GET /customers': { expected: [...NOBODY, 200, 200, 200, 200, 200] },
  'GET /customers/:customer': customer(200),
  'PUT /customers/:customer': customer(200),
  'POST /customers/:customer/executions': customer(422, { body: { task: 'fold the laundry' } }),
  'GET /customers/:customer/executions': customer(200),
  'GET /customers/:customer/executions/:executionId': customer(404),
  'POST /customers/:customer/executions/:executionId/resume': customer(404, { body: {} }),
  'DELETE /customers/:customer/executions/:executionId': customer(404),
  'POST /customers/:customer/sessions': customer(201, { body: {} }),
  'GET /customers/:customer/sessions': customer(200),
  'GET /customers/:customer/sessions/:sessionId': customer(200),
  'DELETE /customers/:customer/sessions/:sessionId': customer(204),
  'GET /customers/:customer/sessions/:sessionId/log': customer(200),
  'POST /customers/:customer/sessions/:sessionId/checkpoint': customer(204, { body: { step: 1 } }),
  'POST /customers/:customer/sessions/:sessionId/resume': customer(200),
  'GET /customers/:customer/sessions/:sessionId/export': customer(200),
  // Nothing is no archive.
  'POST /customers/:customer/sessions/import': customer(400, {
    body: EMPTY_TAR,
    headers: { 'content-type': 'application/gzip' },
  }),
  'POST /customers/:customer/sessions/:sessionId/close': customer(204),
  'GET /customers/:customer/approvals': customer(200),
  // Customers do not decide on what they do.
  'POST /customers/:customer/approvals/:approvalId': {
    expected: [...NOBODY, 403, 404, 403, 404, 404],
    body: { decision: 'approve' },
  },
  'GET /customers/:customer/files': customer(200),
  'POST /customers/:customer/files': customer(200, { body: { folder: 'made' } }),
  'GET /customers/:customer/files*': customer(200),
  'PUT /customers/:customer/files*': customer(200, { body: 'x', headers: { 'content-type': 'text/plain' } }),
  'DELETE /customers/:customer/files*': customer(204),
  'GET /customers/:customer/archive': customer(200),
  'POST /customers/:customer/archive': customer(200, {
    body: EMPTY_TAR,
    headers: { 'content-type': 'application/x-tar' },
  }),
  'GET /customers/:customer/snapshots': customer(200),
  'POST /customers/:customer/snapshots': customer(201, { body: {} }),
  'POST /customers/:customer/snapshots/:snapshot/restore': customer(200),
  'DELETE /customers/:customer/snapshots/:snapshot': customer(204),
  'GET /customers/:customer/mcp': customer(400),
  'POST /customers/:customer/mcp': customer(200, INITIALIZE),
  'DELETE /customers/:customer/mcp': customer(400),
  // The customer is that of the key, which says for whom it is.
  'GET /mcp': { expected: [...NOBODY, 400, 400, 400, 400, 400] },
  'POST /mcp': { expected: [...NOBODY, 200, 400, 200, 400, 400], ...INITIALIZE },
  'DELETE /mcp': { expected: [...NOBODY, 400, 400, 400, 400, 400] },
  'GET /customers/:customer/tools': customer(200),
  'GET /customers/:customer/tools/search': customer(200, { query: '?q=add' }),
  'GET /customers/:customer/tools/:server/:tool': customer(200),
  'GET /customers/:customer/skills': customer(200),
  'GET /customers/:customer/skills/:skill': customer(404),
  'PUT /customers/:customer/skills/:skill': customer(404, { body: { execution: 'none' } }),
  'DELETE /customers/:customer/skills/:skill': customer(404),

  'GET /customers/:customer/usage': customer(200),
  'GET /customers/:customer/keys': keysOf(200),
  'POST /customers/:customer/keys': keysOf(201, { body: { name: 'new' } }),
  'DELETE /customers/:customer/keys/:key': keysOf(200),
  'GET /keys': { expected: [...NOBODY, 403, 200, 403, 200, 200] },
  'POST /keys': { expected: [...NOBODY, 403, 201, 403, 201, 201], body: { name: 'new', customer: 'ann' } },
  'GET /keys/:key': keysOf(200),
  'DELETE /keys/:key': keysOf(200),

  'POST /v1/sandboxes': organisation(200, 200, { body: 'sandbox' }),
  'GET /v1/sandboxes': organisation(200, 200),
  'GET /v1/sandboxes/by-name/:name': organisation(404, 200),
  'DELETE /v1/sandboxes/by-name/:name': organisation(404, 200),
  'POST /v1/sandboxes/by-name/:name/start': organisation(404, 200),
  'POST /v1/sandboxes/by-name/:name/stop': organisation(404, 409),
  'GET /v1/sandboxes/by-name/:name/logs': organisation(404, 200),
  'GET /v1/sandboxes/:id': organisation(404, 200),
  'GET /v1/sandboxes/:id/metrics': organisation(404, 409),
  'PATCH /v1/sandboxes/:id': organisation(404, 200, { body: 'volume' }),
  'DELETE /v1/sandboxes/:id': organisation(404, 200),
  'POST /v1/sandboxes/:id/start': organisation(404, 200),
  'POST /v1/sandboxes/:id/stop': organisation(404, 409),
  'GET /v1/sandboxes/:id/agent': organisation(404, 409),
  'GET /v1/sandboxes/:id/logs': organisation(404, 200),
  'GET /v1/events': organisation(200, 200),
  'GET /v1/events/:id': alone(200),
  'GET /v1/quotas': organisation(200, 200),
  'GET /v1/billing/usage': organisation(200, 200),
  'GET /v1/billing/usage/sandbox': organisation(200, 200),
  'GET /v1/billing/usage/storage': organisation(200, 200),
  'GET /v1/me/org': organisation(200, 200),
  'GET /v1/members': organisation(200, 200),
  'GET /v1/volumes': organisation(200, 200),
  'POST /v1/volumes': organisation(200, 200, { body: 'volume' }),
  'GET /v1/volumes/default': organisation(200, 200),
  'GET /v1/volumes/:id': alone(200),
  'PATCH /v1/volumes/:id': alone(200, { body: { labels: {} } }),
  'DELETE /v1/volumes/:id': alone(200),
  'GET /v1/volumes/:id/files': alone(200, { headers: { 'x-msb-file-path': '' } }),
  'DELETE /v1/volumes/:id/files': alone(204, { headers: FILE }),
  'GET /v1/volumes/:id/files/stat': alone(200, { headers: FILE }),
  'GET /v1/volumes/:id/files/exists': alone(200, { headers: FILE }),
  'GET /v1/volumes/:id/files/content': alone(200, { headers: FILE }),
  'PUT /v1/volumes/:id/files/content': alone(204, { headers: FILE }),
  'POST /v1/volumes/:id/files/copy': alone(404, { body: { from: 'YQ', to: 'Yg' } }),
  'POST /v1/volumes/:id/files/mkdir': alone(204, { body: { path: 'YQ' } }),
  'POST /v1/volumes/:id/files/rename': alone(404, { body: { from: 'YQ', to: 'Yg' } }),
  'GET /api/v1/health': open(200),
  'POST /api/v1/rpc': organisation(200, 200, { body: METRICS }),
};

let api: ApiServer;
let keys: Readonly<Record<Key, string | null>>;
let made = 0;

beforeAll(async () => {
  api = await openApiServer({
    server: { failedKeysPerMinute: 1_000_000, requestsPerSecond: 1_000_000 },
    driver: 'quiet',
  });
  const { store } = api;
  const secret = async (key: Parameters<KeyStore['create']>[0], from = store) =>
    (await from.create(key)).secret.reveal();
  const yesterday = new KeyStore(store.folder, { now: () => Date.now() - 24 * 60 * 60_000 });
  const revoked = await store.create({ name: 'a', role: 'organisation', org: 'acme' });
  await store.revoke(revoked.key.id);
  keys = {
    none: null,
    wrong: `msb_${'0'.repeat(64)}`,
    expired: await secret({ name: 'a', role: 'organisation', org: 'acme', expiresInMs: 60 * 60_000 }, yesterday),
    revoked: revoked.secret.reveal(),
    'of another customer': await secret({ name: 'a', role: 'customer', customer: 'acme.bob' }),
    'of another organisation': await secret({ name: 'a', role: 'organisation', org: 'globex' }),
    'of the customer': await secret({ name: 'a', role: 'customer', customer: 'acme.ann' }),
    'of the organisation': await secret({ name: 'a', role: 'organisation', org: 'acme' }),
    'of an administrator': api.key,
  };
  for (const id of ['acme.ann', 'acme.bob', 'globex.eve']) await api.call('PUT', `/customers/${id}`);
});
afterAll(async () => api[Symbol.asyncDispose]());

describe('every route', () => {
  it('is in the table', () => {
    const served = api.routes.filter((route) => !route.startsWith('HEAD '));
    expect(served.toSorted()).toEqual(Object.keys(ROUTES).toSorted());
  });

  it.each(Object.entries(ROUTES))('%s', async (route, { expected, query = '', ...request }) => {
    const [method = '', pattern = ''] = route.split(' ');
    const answered: number[] = [];
    const path = method === 'GET' ? await pathFor(pattern) : undefined;
    for (const key of KEYS) {
      const { status, body } = await api.call(method, (path ?? (await pathFor(pattern))) + query, {
        key: keys[key],
        ...request,
        body: bodyFor(request.body),
      });
      answered.push(status);
      if (status === 404 && key.startsWith('of another') && pattern.startsWith('/customers/:customer'))
        expect(body).toMatchObject({ code: 'not_found', detail: 'There is no customer "acme.ann"' });
    }
    expect(answered).toEqual(expected);
  });

  it('needs the scope that its documentation names', async () => {
    const document = (await api.call('GET', '/openapi.json')).body as OpenApiDocument;
    const { secret } = await api.store.create({ name: 'a', role: 'organisation', org: 'acme', scopes: ['read'] });
    const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, scope: operation['x-scope'] })),
    );
    expect(new Set(documented.map(({ scope }) => scope))).toEqual(new Set(SCOPES.filter((scope) => scope !== 'mcp')));
    for (const { path, method, scope } of documented.filter((each) => each.method !== 'head')) {
      const pattern = path.replace(/\/\{path\}$/, '*').replace(/\{(\w+)\}/g, ':$1');
      const { query = '', headers = {}, body } = ROUTES[`${method.toUpperCase()} ${pattern}`] ?? open(0);
      const { status } = await api.call(method.toUpperCase(), (await pathFor(pattern)) + query, {
        key: secret.reveal(),
        headers,
        body: bodyFor(body),
      });
      expect([path, method, status === 403]).toEqual([path, method, scope !== 'read']);
    }
  });

  it('answers HEAD as it answers GET', async () => {
    const heads = api.routes.filter((route) => route.startsWith('HEAD '));
    expect(heads.length).toBeGreaterThan(20);
    for (const route of heads) {
      const pattern = route.slice('HEAD '.length);
      const { expected, query = '', headers = {} } = ROUTES[`GET ${pattern}`] ?? open(0);
      const path = await pathFor(pattern);
      const answers = KEYS.map((key) => api.call('HEAD', path + query, { key: keys[key], headers }));
      const answered = (await Promise.all(answers)).map(({ status, text }) => (text === '' ? status : text));
      expect(answered, route).toEqual(expected);
    }
  });
});

/** With new sandboxes and volumes each time, so that nothing that one request does is seen by the next. */
async function pathFor(pattern: string): Promise<string> {
  const path = pattern
    .replace(':customer', 'acme.ann')
    .replace(':server/:tool', 'calculator/add')
    .replace(':skill', 'adding')
    .replace(':executionId', 'none')
    .replace(':approvalId', 'apr_none_1')
    .replace('files*', 'files/a/b');
  if (path.includes(':sessionId')) {
    const { body } = await api.call('POST', '/customers/acme.ann/sessions', { body: {} });
    return path.replace(':sessionId', (body as { readonly sessionId: string }).sessionId);
  }
  if (path.includes(':snapshot')) {
    const { body } = await api.call('POST', '/customers/acme.ann/snapshots', { body: {} });
    return path.replace(':snapshot', (body as { readonly id: string }).id);
  }
  if (path.endsWith('/files/a/b'))
    await api.call('PUT', path, { body: 'x', headers: { 'content-type': 'text/plain' } });
  if (path.endsWith('/:key')) {
    const { key } = await api.store.create({ name: 'made', role: 'customer', customer: 'acme.ann' });
    return path.replace(':key', key.id);
  }
  if (path.startsWith('/v1/sandboxes/')) {
    const { id, name } = await make('/v1/sandboxes', sandboxSpec(nextName()));
    return path.replace(':id', id).replace(':name', name);
  }
  if (path.startsWith('/v1/volumes/')) {
    const { id } = await make('/v1/volumes', { name: nextName() });
    await api.call('PUT', `/v1/volumes/${id}/files/content`, {
      key: keys['of the organisation'],
      headers: FILE,
      body: 'x',
    });
    return path.replace(':id', id);
  }
  if (path !== '/v1/events/:id') return path;
  await make('/v1/sandboxes', sandboxSpec(nextName()));
  const { body } = await api.call('GET', '/v1/events', { key: keys['of the organisation'] });
  return path.replace(':id', (body as { readonly data: readonly { readonly id: string }[] }).data[0]?.id ?? '');
}

async function make(path: string, body: object): Promise<{ readonly id: string; readonly name: string }> {
  const answer = await api.call('POST', path, { key: keys['of the organisation'], body });
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.body as { id: string; name: string };
}

function nextName(): string {
  made += 1;
  return `made-${made}`;
}

/** Of a request that makes something: it has a name of its own. */
function bodyFor(body: unknown): unknown {
  if (body === 'sandbox') return sandboxSpec(nextName());
  return body === 'volume' ? { name: nextName() } : body;
}
