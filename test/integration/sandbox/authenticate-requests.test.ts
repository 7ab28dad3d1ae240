import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type FastifyInstance, fastify } from 'fastify';
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_ORGANISATION, type Principal, SCOPES } from '../../../src/core/principal.ts';
import { authenticateRequests } from '../../../src/sandbox/authenticate-requests.ts';
import { Authenticator } from '../../../src/sandbox/authenticator.ts';
import { HTTP_LIMITS } from '../../../src/sandbox/http-limits.ts';
import { KeyStore } from '../../../src/sandbox/key-store.ts';
import { RequestRates } from '../../../src/sandbox/request-rates.ts';
import { Secret } from '../../../src/util/secret.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let store: KeyStore;
let app: FastifyInstance;
let open: Set<() => void>;

beforeEach(async () => {
  folder = await tempFolder();
  store = new KeyStore(join(folder.path, 'state'));
  app = fastify({ forceCloseConnections: true });
  open = new Set();
  authenticateRequests(app, new Authenticator([new Secret('fixed'), store]), new RequestRates({ limits: HTTP_LIMITS }));
  app.get('/key', async ({ principal }) => told(principal));
  app.get('/legacy', { config: { access: 'legacy' } }, async ({ principal }) => told(principal));
  app.get('/stream', (_request, reply) => {
    const stream = new PassThrough();
    stream.write('first');
    open.add(() => stream.end());
    return reply.send(stream);
  });
  app.get('/anyone', { config: { access: 'anyone' } }, async ({ principal }) => ({ principal: principal ?? null }));
});
afterEach(async () => {
  await app.close();
  await folder[Symbol.asyncDispose]();
});

const make = (name: string) => store.create({ name, role: 'organisation' });
const told = (principal: Principal) => ({ ...principal, scopes: [...principal.scopes] });
const bearer = (secret: Secret) => ({ authorization: `Bearer ${secret.reveal()}` });
const get = async (url: string, headers: Record<string, string> = {}) => {
  const { statusCode, body } = await app.inject({ url, headers });
  return statusCode === 200 ? (JSON.parse(body) as unknown) : 'refused';
};

describe('a route', () => {
  it('learns whom a request comes from', async () => {
    const { secret, key } = await store.create({ name: 'a', role: 'organisation', org: 'acme', maxSandboxes: 2 });
    expect(await get('/key', { authorization: `Bearer ${secret.reveal()}` })).toEqual({
      keyId: key.id,
      role: 'organisation',
      org: key.org,
      maxSandboxes: 2,
      scopes: SCOPES,
    });
    const administrator = { role: 'administrator', org: DEFAULT_ORGANISATION, scopes: SCOPES };
    expect(await get('/key', { authorization: 'Bearer fixed' })).toEqual(administrator);
    expect(await get('/key', { authorization: 'bearer fixed' })).toEqual(administrator);
    for (const authorization of ['', 'fixed', 'Bearer Fixed', 'Bearer fixed0'])
      expect(await get('/key', { authorization })).toBe('refused');
  });

  it('of the JSON-RPC line takes keys and tokens, in the headers of that line', async () => {
    const { secret } = await store.create({ name: 'a', role: 'organisation' });
    const token = (await store.createToken('acme', 60_000)).reveal();
    expect(await get('/legacy', { authorization: token })).toMatchObject({ namespace: 'acme' });
    expect(await get('/legacy', { 'proxy-authorization': `Bearer ${token}` })).toMatchObject({ namespace: 'acme' });
    expect(await get('/legacy', { authorization: secret.reveal() })).toMatchObject({ role: 'organisation' });
    expect(await get('/legacy', { authorization: 'fixed' })).toMatchObject({ role: 'administrator' });
    expect(await get('/legacy', { 'proxy-authorization': 'wrong', authorization: 'fixed' })).toBe('refused');
    expect(await get('/legacy')).toBe('refused');
  });

  it('of the cloud API takes neither tokens nor those headers', async () => {
    const token = (await store.createToken('*', 60_000)).reveal();
    expect(await get('/key', { authorization: `Bearer ${token}` })).toBe('refused');
    expect(await get('/key', { 'proxy-authorization': 'Bearer fixed' })).toBe('refused');
  });

  it('that streams ends its answer when the key is revoked, and only then', async () => {
    const [mine, other] = [await make('mine'), await make('other')];
    const url = await app.listen({ port: 0 });
    const answers = await Promise.all(
      [mine, other].map(({ secret }) => request(`${url}/stream`, { headers: bearer(secret), bodyTimeout: 0 })),
    );
    const ends = answers.map(({ body }) =>
      body.text().then(
        () => 'complete',
        () => 'cut off',
      ),
    );
    await store.revoke(mine.key.id);
    expect(await ends[0]).toBe('cut off');
    for (const end of open) end();
    expect(await ends[1]).toBe('complete');
  });

  it('for anyone needs no key, and knows nobody', async () => {
    expect(await get('/anyone')).toEqual({ principal: null });
  });
});
