import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NewKey } from '../../../src/sandbox/new-key.ts';
import { type ApiServer, openApiServer } from '../../support/api-server.ts';

let api: ApiServer;
let acme: string;
beforeAll(async () => {
  api = await openApiServer({
    driver: 'quiet',
    quotas: { default: { executions: 4, cpuSecondsPerDay: 60 }, customers: { 'acme.ann': { disk: '1M' } } },
  });
  acme = await keyOf({ role: 'organisation', org: 'acme' });
  for (const id of ['acme.ann', 'acme.bob']) await api.call('PUT', `/customers/${id}`);
});
afterAll(async () => api?.[Symbol.asyncDispose]());

const keyOf = async (wanted: Omit<NewKey, 'name'>) =>
  (await api.store.create({ name: 'a', ...wanted })).secret.reveal();

interface Key {
  readonly id: string;
  readonly secret: string;
}
const make = async (key: string, path: string, body: object) => {
  const answer = await api.call('POST', path, { key, body });
  return { ...answer, made: answer.body as Key };
};
const codeOf = ({ body }: { readonly body: unknown }) => (body as { readonly code?: string }).code;

describe('a key', () => {
  it('is made by an organisation for its customer, works at once, and for that customer alone', async () => {
    const { status, headers, made, body } = await make(acme, '/customers/ann/keys', {
      name: 'phone',
      expiresInMs: 60_000,
    });
    expect({ status, cache: headers['cache-control'] }).toEqual({ status: 201, cache: 'no-store' });
    expect(body).toEqual({
      id: expect.stringMatching(/^key_/),
      name: 'phone',
      role: 'customer',
      organisation: 'acme',
      customer: 'acme.ann',
      scopes: ['read', 'execute', 'files', 'sessions', 'mcp'],
      prefix: made.secret.slice(0, 12),
      active: true,
      createdAt: expect.any(String),
      createdBy: expect.stringMatching(/^key_/),
      lastUsedAt: null,
      expiresAt: expect.any(String),
      revokedAt: null,
      maxSandboxes: null,
      secret: expect.stringMatching(/^msb_[0-9a-f]{64}$/),
    });
    const statuses = await Promise.all(
      ['ann', 'acme.ann', 'bob', 'acme.bob', 'acme.none', 'default-one'].map(async (id) => {
        return (await api.call('GET', `/customers/${id}`, { key: made.secret })).status;
      }),
    );
    expect(statuses).toEqual([200, 200, 404, 404, 404, 404]);
  });

  it('is in lists without its secret, and in no file with it', async () => {
    const { made } = await make(acme, '/keys', { name: 'listed', customer: 'bob' });
    const list = await api.call('GET', '/customers/bob/keys', { key: acme });
    expect(list.body).toMatchObject({
      items: [{ id: made.id, customer: 'acme.bob', name: 'listed' }],
      nextCursor: null,
    });
    const one = await api.call('GET', `/keys/${made.id}`, { key: acme });
    for (const { text } of [list, one]) expect(text).not.toContain(made.secret.slice(12));
    for (const entry of await readdir(api.folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      expect(await readFile(join(entry.parentPath, entry.name), 'latin1')).not.toContain(made.secret.slice(4));
    }
  });

  it('is listed in pages, each once', async () => {
    const key = await keyOf({ role: 'organisation', org: 'paged' });
    for (let n = 0; n < 6; n++) await make(key, '/keys', { name: `n${n}`, customer: 'ann' });
    const names: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const more: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { body } = await api.call('GET', `/keys?limit=3${more}`, { key });
      const page = body as { readonly items: readonly { readonly name: string }[]; readonly nextCursor: string | null };
      names.push(...page.items.map(({ name }) => name));
      cursor = page.nextCursor;
    }
    expect(names.toSorted()).toEqual(['a', 'n0', 'n1', 'n2', 'n3', 'n4', 'n5']);
  });

  it('is good for what its scopes say, and the refusal names the one that it needs', async () => {
    const key = await keyOf({ role: 'customer', customer: 'acme.ann', scopes: ['files'] });
    const { status, body } = await api.call('GET', '/customers/ann', { key });
    expect({ status, body }).toMatchObject({ status: 403, body: { code: 'forbidden', details: { scope: 'read' } } });
  });

  it('that is revoked lets nobody in any more, also where a stream is open', async () => {
    const { made } = await make(acme, '/customers/ann/keys', { name: 'brief' });
    const { body: sent } = await request(`${api.url}/customers/ann/files/slow`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${made.secret}`, 'content-type': 'application/octet-stream' },
      body: Readable.from(slowly()),
      bodyTimeout: 0,
    }).then(
      ({ body }) => ({ body: body.text() }),
      () => ({ body: 'cut off' }),
    );
    expect(await sent).toBe('cut off');
    expect((await api.call('GET', '/customers/ann', { key: made.secret })).status).toBe(401);
    const again = await api.call('DELETE', `/customers/ann/keys/${made.id}`, { key: acme });
    expect(again.body).toMatchObject({ id: made.id, active: false, revokedAt: expect.any(String) });

    async function* slowly() {
      yield Buffer.from('begun');
      expect((await api.call('DELETE', `/customers/ann/keys/${made.id}`, { key: acme })).status).toBe(200);
      await new Promise(() => {});
    }
  });
});

describe('nobody', () => {
  const escalations: readonly (readonly [string, object])[] = [
    ['an administrator’s', { role: 'administrator' }],
    ['another organisation’s', { organisation: 'globex' }],
    ['its own organisation’s', { role: 'organisation' }],
    ['that of a customer of another organisation', { customer: 'globex.eve' }],
    ['one for longer', { customer: 'ann', expiresInMs: 10 * 60_000 }],
    ['one with more scopes', { customer: 'ann', scopes: ['read', 'approve'] }],
  ];

  it.each(escalations)('makes a key that reaches further than its own: %s', async (_what, body) => {
    const scopes = ['read', 'execute', 'keys'] as const;
    const key = await keyOf({ role: 'organisation', org: 'acme', scopes, expiresInMs: 5 * 60_000 });
    const before = (await api.store.list()).length;
    const answer = await make(key, '/keys', { name: 'up', ...body });
    expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 403, code: 'forbidden' });
    expect((await api.store.list()).length).toBe(before);
  });

  it('makes one by a request that is not understood', async () => {
    for (const body of [
      {},
      { name: '' },
      { name: 'x', scopes: [] },
      { name: 'x', scopes: ['all'] },
      { name: 'x', expiresInMs: 0 },
      { name: 'x', more: 1 },
    ])
      expect((await make(acme, '/customers/ann/keys', body)).status, JSON.stringify(body)).toBe(400);
  });

  it('sees or revokes a key of others, or learns that there is one', async () => {
    const { key: foreign } = await api.store.create({ name: 'f', role: 'customer', customer: 'globex.eve' });
    const { key: bobs } = await api.store.create({ name: 'b', role: 'customer', customer: 'acme.bob' });
    const { key: sister } = await api.store.create({ name: 's', role: 'organisation', org: 'acme' });
    const [there, absent] = [
      await api.call('DELETE', `/keys/${foreign.id}`, { key: acme }),
      await api.call('DELETE', '/keys/key_none', { key: acme }),
    ];
    expect([there.status, absent.status]).toEqual([404, 404]);
    const shape = ({ body }: { readonly body: unknown }, id: string) =>
      JSON.stringify({ ...(body as object), requestId: '' }).replaceAll(id, '');
    expect(shape(there, foreign.id)).toBe(shape(absent, 'key_none'));
    expect((await api.call('DELETE', `/customers/ann/keys/${bobs.id}`, { key: acme })).status).toBe(404);
    expect((await api.call('DELETE', `/keys/${sister.id}`, { key: acme })).status).toBe(403);
    const list = await api.call('GET', '/keys?limit=200', { key: acme });
    expect(list.text).not.toContain(foreign.id);
    const all = await api.call('GET', '/keys?limit=200');
    expect(all.text).toContain(foreign.id);
    for (const { id, active } of await api.store.list())
      if ([foreign.id, bobs.id, sister.id].includes(id)) expect(active).toBe(true);
  });
});

it('what a customer uses is told with its limits', async () => {
  const { body } = await api.call('GET', '/customers/ann/usage', { key: acme });
  expect(body).toEqual({
    customer: 'acme.ann',
    executions: { used: 0, limit: 4, left: 4 },
    executionsPerMinute: { used: null, limit: null, left: null },
    cpuSecondsPerDay: { used: 0, limit: 60, left: 60 },
    diskBytes: { used: expect.any(Number), limit: 1024 * 1024, left: expect.any(Number) },
  });
  const { headers, ...refused } = await api.call('PUT', '/customers/ann/files/big', {
    key: acme,
    body: Buffer.alloc(2_000_000),
    headers: { 'content-type': 'application/octet-stream' },
  });
  expect(refused).toMatchObject({ status: 429, body: { code: 'quota_exceeded', details: { quota: 'diskBytes' } } });
});
