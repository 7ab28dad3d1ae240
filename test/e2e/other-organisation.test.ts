// Two organisations on one server: to each, what is the other's must be exactly what is not there.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type EventResponse, type Page, type SandboxResponse, VOLUME_FILE_HEADERS } from '../../src/protocol/rest.ts';
import { eventually } from '../support/processes.ts';
import { openQuietServer, type QuietServer } from '../support/quiet-server.ts';
import { type Answer, sandboxSpec } from '../support/sandbox-server.ts';
import { ScriptedDriver } from '../support/scripted-driver.ts';

const RUN = '?start=true&wait_for=running';
const LABELS = { team: 'red' };

let server: QuietServer;
/** Keys of the two organisations. */
let ann: string;
let bob: string;
/** Of Ann's organisation. */
let sandbox: SandboxResponse;
let volume: { readonly id: string };

const as = (key: string) => (method: string, path: string, body?: unknown) =>
  server.call(method, path, { key, ...(body === undefined ? {} : { body }) });
const keyOf = async (org: string, maxSandboxes?: number) =>
  (await server.store.create({ name: org, role: 'organisation', org, maxSandboxes })).secret.reveal();
const listed = async (key: string, query = '') =>
  ((await as(key)('GET', `/v1/sandboxes${query}`)).body as Page<SandboxResponse>).data.map(({ id }) => id);

beforeAll(async () => {
  server = await openQuietServer({ driver: new ScriptedDriver() });
  [ann, bob] = [await keyOf('acme'), await keyOf('rival')];
  volume = (await as(ann)('POST', '/v1/volumes', { name: 'data' })).body as typeof volume;
  const mounts = [{ type: 'named', name: 'data', guest: '/data' }];
  const created = await as(ann)('POST', `/v1/sandboxes${RUN}`, { ...sandboxSpec('box'), labels: LABELS, mounts });
  sandbox = created.body as SandboxResponse;
  expect(sandbox.status).toBe('running');
});

afterAll(() => server[Symbol.asyncDispose]());

describe('a sandbox of another organisation', () => {
  it.each([
    ['GET', ''],
    ['PATCH', '', { name: 'stolen' }],
    ['POST', '/start'],
    ['POST', `/start${RUN.replace('start=true&', '')}`],
    ['POST', '/stop'],
    ['GET', '/logs'],
    ['GET', '/logs?sources=system'],
    ['DELETE', ''],
  ])('answers %s …%s as one that is not there', async (method, path, body?: object) => {
    const ask = (id: string) => as(bob)(method, `/v1/sandboxes/${id}${path}`, body);
    const absent = await ask(randomUUID());
    expect(absent.status).toBe(404);
    expect(await ask(sandbox.id)).toEqual(absent);
    if (method !== 'PATCH') {
      const absentName = await as(bob)(method, `/v1/sandboxes/by-name/nobody${path}`, body);
      expect(await as(bob)(method, `/v1/sandboxes/by-name/box${path}`, body)).toEqual(absentName);
    }
    expect((await as(ann)('GET', `/v1/sandboxes/${sandbox.id}`)).body).toMatchObject({
      name: 'box',
      status: 'running',
    });
  });

  it('has no agent to connect to', async () => {
    const absent = await upgrade(randomUUID(), bob);
    expect(absent.status).toBe(404);
    expect(await upgrade(sandbox.id, bob)).toEqual(absent);
    expect((await upgrade(sandbox.id, ann)).status).toBe(101);
  });

  it('is in no listing, by whatever label and cursor', async () => {
    const own = (await as(bob)('POST', '/v1/sandboxes', { ...sandboxSpec('own'), labels: LABELS }))
      .body as SandboxResponse;
    const filter = `labels=${encodeURIComponent(JSON.stringify(LABELS))}`;
    await as(ann)('POST', '/v1/sandboxes', { ...sandboxSpec('second'), labels: LABELS });
    const { next_cursor: cursor } = (await as(ann)('GET', '/v1/sandboxes?limit=1')).body as Page<SandboxResponse>;
    for (const query of ['', `?${filter}`, `?cursor=${cursor}`, `?cursor=${cursor}&${filter}`])
      expect(await listed(bob, query), query).toEqual([own.id]);
    await as(bob)('DELETE', `/v1/sandboxes/${own.id}`);
    expect(await listed(bob)).toEqual([]);
    expect(await listed(ann)).toHaveLength(2);
    await as(ann)('DELETE', '/v1/sandboxes/by-name/second');
  });

  it('does not keep its name from others, and a name means one’s own', async () => {
    const { body, status } = await as(bob)('POST', '/v1/sandboxes', sandboxSpec('box'));
    expect(status).toBe(200);
    const own = body as SandboxResponse;
    expect(own.org_id).not.toBe(sandbox.org_id);
    expect((await as(bob)('GET', '/v1/sandboxes/by-name/box')).body).toMatchObject({ id: own.id });
    expect((await as(ann)('GET', '/v1/sandboxes/by-name/box')).body).toMatchObject({ id: sandbox.id });
    expect((await as(bob)('DELETE', '/v1/sandboxes/by-name/box')).status).toBe(200);
    expect((await as(ann)('GET', '/v1/sandboxes/by-name/box')).body).toMatchObject({
      id: sandbox.id,
      status: 'running',
    });
  });

  it('is the administrator’s business', async () => {
    expect(((await server.call('GET', '/v1/sandboxes')).body as Page<SandboxResponse>).data).toMatchObject([
      { id: sandbox.id, org_id: sandbox.org_id },
    ]);
    expect((await server.call('GET', `/v1/sandboxes/${sandbox.id}`)).status).toBe(200);
    expect((await server.call('GET', '/v1/sandboxes/by-name/box')).body).toMatchObject({ id: sandbox.id });
  });
});

describe('a volume of another organisation', () => {
  const path = { [VOLUME_FILE_HEADERS.path]: Buffer.from('/file').toString('base64url') };

  it.each([
    ['GET', ''],
    ['PATCH', '', { labels: { mine: 'yes' } }],
    ['DELETE', ''],
    ['GET', '/files'],
    ['GET', '/files/stat'],
    ['GET', '/files/exists'],
    ['GET', '/files/content'],
    ['PUT', '/files/content'],
    ['POST', '/files/mkdir', { path: '/folder' }],
    ['POST', '/files/copy', { from: '/file', to: '/copy' }],
    ['POST', '/files/rename', { from: '/file', to: '/moved' }],
    ['DELETE', '/files'],
  ])('answers %s …%s as one that is not there', async (method, suffix, body?: object) => {
    const ask = (id: string) => withHeaders(bob, method, `/v1/volumes/${id}${suffix}`, path, body);
    const absent = await ask(randomUUID());
    expect(absent.status).toBe(404);
    expect(await ask(volume.id)).toEqual(absent);
    expect((await as(ann)('GET', `/v1/volumes/${volume.id}`)).body).toMatchObject({
      id: volume.id,
      name: 'data',
      labels: {},
    });
  });

  it('cannot be mounted by its name, which anybody may use for a volume of their own', async () => {
    const mounting = (name: string, box: string) =>
      as(bob)('POST', `/v1/sandboxes${RUN}`, { ...sandboxSpec(box), mounts: [{ type: 'named', name, guest: '/x' }] });
    const absent = await mounting('nobody', 'thief');
    expect(absent.status).toBe(404);
    expect(await mounting('data', 'thief')).toEqual(absent);
    expect(await listed(bob)).toEqual([]);
    const { body, status } = await as(bob)('POST', '/v1/volumes', { name: 'data' });
    expect(status).toBe(200);
    const own = body as typeof volume;
    expect(own.id).not.toBe(volume.id);
    await withHeaders(ann, 'PUT', `/v1/volumes/${volume.id}/files/content`, path);
    expect((await withHeaders(bob, 'GET', `/v1/volumes/${own.id}/files/exists`, path)).body).toEqual({ exists: false });
    expect((await as(bob)('DELETE', `/v1/volumes/${own.id}`)).status).toBe(200);
    expect((await withHeaders(ann, 'GET', `/v1/volumes/${volume.id}/files/exists`, path)).body).toEqual({
      exists: true,
    });
  });

  it('is in no listing', async () => {
    expect((await as(bob)('GET', '/v1/volumes')).body).toEqual([]);
    expect((await as(ann)('GET', '/v1/volumes')).body).toMatchObject([{ id: volume.id }]);
    const ids = [ann, bob].map(async (key) => ((await as(key)('GET', '/v1/volumes/default')).body as typeof volume).id);
    expect(new Set(await Promise.all(ids)).size).toBe(2);
  });
});

describe('what is told of an organisation', () => {
  it('is told to itself: events', async () => {
    const events = async (key: string) => ((await as(key)('GET', '/v1/events')).body as Page<EventResponse>).data;
    const theirs = await eventually(
      async () => (await events(ann)).find(({ event_type }) => event_type === 'sandbox_started') ?? false,
    );
    expect(theirs.payload).toMatchObject({ sandbox_id: sandbox.id });
    expect(JSON.stringify(await events(bob))).not.toContain(sandbox.id);
    const absent = await as(bob)('GET', `/v1/events/${randomUUID()}`);
    expect(absent.status).toBe(404);
    expect(await as(bob)('GET', `/v1/events/${theirs.id}`)).toEqual(absent);
  });

  it('is told to itself: use, quotas and who it is', async () => {
    const stranger = await keyOf('stranger');
    const ask = async (key: string, path: string) => (await as(key)('GET', path)).body;
    expect(await ask(stranger, '/v1/quotas')).toMatchObject({ total_sandboxes: 0, vcpu_hours_used: 0 });
    expect(await ask(ann, '/v1/quotas')).toMatchObject({ total_sandboxes: 1 });
    expect(await ask(stranger, '/v1/billing/usage/sandbox')).toMatchObject({ rows: [], sandboxes: [] });
    expect(await ask(stranger, '/v1/billing/usage/storage')).toMatchObject({ volumes: [] });
    expect(await ask(stranger, '/v1/me/org')).toMatchObject({ name: 'stranger' });
    const texts = await Promise.all(
      ['/v1/quotas', '/v1/billing/usage', '/v1/billing/usage/sandbox', '/v1/billing/usage/storage', '/v1/members'].map(
        async (path) => JSON.stringify(await ask(stranger, path)),
      ),
    );
    for (const text of texts)
      for (const mark of [sandbox.id, sandbox.org_id, volume.id, 'acme']) expect(text).not.toContain(mark);
  });
});

describe('a key of an organisation', () => {
  it('mounts no folder of the host, whatever folder it names', async () => {
    const mounting = (host: string) =>
      as(bob)('POST', '/v1/sandboxes', { ...sandboxSpec('binder'), mounts: [{ type: 'bind', host, guest: '/x' }] });
    const [first, ...others] = await Promise.all(
      [server.folder, join(server.folder, '.volumes'), join(server.folder, '.server/keys.json'), '/', '/nowhere'].map(
        mounting,
      ),
    );
    expect(first).toMatchObject({ status: 403, body: { error: { code: 'forbidden' } } });
    for (const answer of others) expect(answer).toEqual(first);
    const beside = [
      { type: 'tmpfs', guest: '/t' },
      { type: 'bind', host: '/', guest: '/x' },
    ];
    expect(await as(bob)('POST', '/v1/sandboxes', { ...sandboxSpec('binder'), mounts: beside })).toEqual(first);
    expect(await listed(bob)).toEqual([]);
  });

  it('has as many sandboxes as it may, and not one more, and no other key pays for it', async () => {
    const [limited, free] = [await keyOf('small', 2), await keyOf('small')];
    const create = (key: string, name: string) => as(key)('POST', `/v1/sandboxes${RUN}`, sandboxSpec(name));
    expect((await create(limited, 'below')).status).toBe(200);
    expect((await create(limited, 'at')).status).toBe(200);
    expect(await create(limited, 'above')).toMatchObject({ status: 429, body: { error: { details: { limit: 2 } } } });
    expect((await create(free, 'above')).status).toBe(200);
    expect((await as(limited)('DELETE', '/v1/sandboxes/by-name/at')).status).toBe(200);
    expect((await create(limited, 'at')).status).toBe(200);
    expect((await create(limited, 'above too')).status).not.toBe(200);
    expect((await create(bob, 'unconcerned')).status).toBe(200);
    await as(bob)('DELETE', '/v1/sandboxes/by-name/unconcerned');
  });
});

/** The answer to a WebSocket's first request. */
function upgrade(id: string, key: string): Promise<Answer> {
  const address = `${server.url.replace('http', 'ws')}/v1/sandboxes/${id}/agent`;
  const socket = new WebSocket(address, { headers: { authorization: `Bearer ${key}` } });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('open', () => {
      socket.terminate();
      resolve({ status: 101, body: null });
    });
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
  });
}

/** Like `call`, with headers; the body of an answer that has none is null. */
async function withHeaders(
  key: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: object,
): Promise<Answer> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      ...headers,
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: body === undefined ? (method === 'PUT' ? 'content' : null) : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text) };
}
