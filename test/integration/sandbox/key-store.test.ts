import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_ORGANISATION, type Principal, SCOPES, type Scope } from '../../../src/core/principal.ts';
import { type CreatedKey, KeyStore } from '../../../src/sandbox/key-store.ts';
import { eventually } from '../../support/processes.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const CUSTOMER = 'customer' as const;
const DAY_MS = 24 * 60 * 60_000;
const MODULE = new URL('../../../src/sandbox/key-store.ts', import.meta.url).href;

let folder: TempFolder;
let now: number;
let store: KeyStore;
const path = () => join(folder.path, 'state/keys.json');
const open = (noteEveryMs = 200) => new KeyStore(join(folder.path, 'state'), { now: () => now, noteEveryMs });
const make = (options: Partial<Parameters<KeyStore['create']>[0]> = {}) =>
  store.create({ name: 'a key', role: 'organisation', ...options });
async function principalOf({ secret }: CreatedKey): Promise<Principal> {
  const principal = await store.find(secret.reveal());
  if (principal === undefined) throw new Error('The key lets nobody in');
  return principal;
}

beforeEach(async () => {
  folder = await tempFolder();
  now = Date.UTC(2026, 0, 1);
  store = open();
});
afterEach(() => folder[Symbol.asyncDispose]());

describe('a new key', () => {
  it('lets in whoever has its secret, with its role, organisation and limit', async () => {
    const { secret, key } = await make({ org: 'acme', maxSandboxes: 3 });
    expect(secret.reveal()).toMatch(/^msb_[0-9a-f]{64}$/);
    const org = { id: expect.stringMatching(/^[0-9a-f-]{36}$/), name: 'acme' };
    expect(await store.find(secret.reveal())).toEqual({
      keyId: key.id,
      role: 'organisation',
      org,
      maxSandboxes: 3,
      scopes: new Set(SCOPES),
    });
  });

  it('belongs to the default organisation when it names none', async () => {
    const { secret, key } = await make({ role: 'administrator' });
    expect(await store.find(secret.reveal())).toEqual({
      keyId: key.id,
      role: 'administrator',
      org: DEFAULT_ORGANISATION,
      scopes: new Set(SCOPES),
    });
  });

  it('shares its organisation with every other key that names it', async () => {
    const [one, two, other] = [await make({ org: 'acme' }), await make({ org: 'acme' }), await make({ org: 'acme2' })];
    expect(two.key.org).toEqual(one.key.org);
    expect(other.key.org.id).not.toBe(one.key.org.id);
    await expect(make({ org: 'Acme' })).rejects.toThrow(/differs from the existing "acme" only in case/);
    await expect(make({ org: 'DEFAULT' })).rejects.toThrow(/differs from the existing "default" only in case/);
  });

  it('of a customer is good for that customer alone, and has the scopes that it was given, or the usual ones', async () => {
    const usual = await make({ role: 'customer', customer: 'acme.ann' });
    const scopes = ['execute', 'read'] as const;
    const given = await make({ role: 'customer', org: 'acme', customer: 'bob', scopes, expiresInMs: DAY_MS });
    expect(await store.find(usual.secret.reveal())).toEqual({
      keyId: usual.key.id,
      role: 'customer',
      org: usual.key.org,
      customer: 'acme.ann',
      scopes: new Set(['read', 'execute', 'files', 'sessions', 'mcp']),
    });
    expect(await store.find(given.secret.reveal())).toMatchObject({
      org: { ...usual.key.org, name: 'acme' },
      customer: 'acme.bob',
      scopes: new Set(['read', 'execute']),
      expiresAt: now + DAY_MS,
    });
    expect(given.key).toMatchObject({ customer: 'acme.bob', scopes: ['read', 'execute'] });
    expect((await make({ role: 'customer', customer: 'ann' })).key.org).toEqual(DEFAULT_ORGANISATION);
  });

  it('that another key makes tells which one, and reaches no further', async () => {
    const maker = await principalOf(await make({ org: 'acme' }));
    const made = await store.createFor(maker, { name: 'ann', role: 'customer', customer: 'acme.ann' });
    expect(made.key).toMatchObject({ createdBy: maker.keyId, customer: 'acme.ann' });
    const wanted = { name: 'up', role: 'administrator' } as const;
    await expect(store.createFor(maker, wanted)).rejects.toMatchObject({ code: 'forbidden' });
    const { key: foreign } = await make({ org: 'box' });
    await expect(store.revokeFor(maker, foreign.id)).rejects.toMatchObject({ code: 'not_found' });
    expect((await store.listFor(maker)).map(({ id }) => id)).toEqual([maker.keyId, made.key.id]);
    expect(await store.revokeFor(maker, made.key.id)).toMatchObject({ active: false });
    expect(await store.find(made.secret.reveal())).toBeUndefined();
  });

  it('never outlasts the key that makes it, however long the file has to be waited for', async () => {
    const slow = new KeyStore(join(folder.path, 'state'), { now: () => (now += 1000) });
    const maker = await principalOf(await make({ org: 'acme', expiresInMs: DAY_MS }));
    const { key } = await slow.createFor(maker, { name: 'ann', role: 'customer', customer: 'acme.ann' });
    expect(Date.parse(key.expiresAt ?? '')).toBe(maker.expiresAt);
  });

  it('is kept as a hash only, in a file that nobody else can read', async () => {
    const { secret, key } = await make();
    const text = await readFile(path(), 'utf8');
    expect(text).toContain(key.id);
    expect(text).not.toContain(secret.reveal().slice(4 + 8));
    expect((await stat(path())).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder.path, 'state'))).mode & 0o777).toBe(0o700);
    expect(JSON.stringify([key, await store.list(), secret])).not.toContain(secret.reveal().slice(4 + 8));
  });

  it.each([
    ['no name', { name: '' }],
    ['a name of 65 characters', { name: 'x'.repeat(65) }],
    ['a name with a line break', { name: 'a\nb' }],
    ['an organisation that is a path', { org: '../x' }],
    ['an organisation without a name', { org: '' }],
    ['no sandboxes', { maxSandboxes: 0 }],
    ['half a sandbox', { maxSandboxes: 1.5 }],
    ['a customer that is a path', { role: CUSTOMER, customer: '../x' }],
    ['a customer of another organisation', { role: CUSTOMER, customer: 'box.ann', org: 'acme' }],
    ['a customer of two spellings', { role: CUSTOMER, customer: 'default.ann' }],
    ['the role of a customer, and no customer', { role: CUSTOMER }],
    ['a customer, and the role of an organisation', { customer: 'ann' }],
    ['sandboxes for a customer', { role: CUSTOMER, customer: 'ann', maxSandboxes: 1 }],
    ['no scopes', { scopes: [] as Scope[] }],
    ['a scope that there is not', { scopes: ['read', 'everything'] as Scope[] }],
    ['no time', { expiresInMs: 0 }],
    ['more time than ten years', { expiresInMs: 3650 * DAY_MS + 1 }],
  ])('is refused with %s, and nothing is written', async (_what, options) => {
    await expect(make(options)).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(stat(path())).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('a secret', () => {
  it('is good for nothing when it is not the whole secret of a key', async () => {
    const secret = (await make()).secret.reveal();
    for (const wrong of ['', 'msb_', secret.slice(0, -1), `${secret}0`, secret.toUpperCase(), secret.slice(4)])
      expect(await store.find(wrong)).toBeUndefined();
  });

  it('is good up to the moment at which its key expires', async () => {
    const secret = (await make({ expiresInMs: 30 * DAY_MS })).secret.reveal();
    now += 30 * DAY_MS - 1;
    expect(await store.find(secret)).toBeDefined();
    now += 1;
    expect(await store.find(secret)).toBeUndefined();
    expect(await store.list()).toMatchObject([{ active: false }]);
  });

  it('is good for nothing once its key is revoked, in this process and in every other', async () => {
    const { secret, key } = await make();
    const other = open();
    expect(await other.find(secret.reveal())).toBeDefined();
    await store.revoke(key.id);
    expect(await store.find(secret.reveal())).toBeUndefined();
    expect(await other.find(secret.reveal())).toBeUndefined();
    expect(await other.isActive(key.id)).toBe(false);
    const [revoked] = await other.list();
    now += DAY_MS;
    expect(await store.revoke(key.id)).toEqual(revoked);
    await expect(store.revoke('key_none')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('leaves a note of its last use, not more often than every five minutes', async () => {
    const secret = (await make()).secret.reveal();
    const used = async () => {
      await store.find(secret);
      return (await open().list())[0]?.lastUsedAt;
    };
    expect(await used()).toBe('2026-01-01T00:00:00.000Z');
    now += 5 * 60_000 - 1;
    expect(await used()).toBe('2026-01-01T00:00:00.000Z');
    now += 1;
    await eventually(async () => (await used()) === '2026-01-01T00:05:00.000Z');
  });

  it('leaves its note together with others, so that many keys in use do not mean many writes', async () => {
    const secrets = [];
    for (let n = 0; n < 20; n++) secrets.push((await make()).secret.reveal());
    const { ino } = await stat(path());
    const slow = open(3_000);
    await Promise.all(secrets.map((secret) => slow.find(secret)));
    const noted = async () => (await open().list()).filter(({ lastUsedAt }) => lastUsedAt !== undefined).length;
    expect(await noted()).toBeLessThan(20);
    expect((await stat(path())).ino).not.toBe(ino);
    await eventually(async () => (await noted()) === 20);
  });
});

describe('the file', () => {
  it('may be changed by several processes at once without a key getting lost', async () => {
    const script = `
      const { KeyStore } = await import(${JSON.stringify(MODULE)});
      const store = new KeyStore(${JSON.stringify(join(folder.path, 'state'))});
      for (let n = 0; n < 5; n++) await store.create({ name: 'n' + n, role: 'organisation', org: 'o' + n });`;
    const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    await Promise.all([run(), run(), make({ name: 'mine' })]);
    const keys = await store.list();
    expect(keys).toHaveLength(11);
    expect(new Set(keys.map(({ id }) => id)).size).toBe(11);
    expect(new Set(keys.map(({ org }) => org.id)).size).toBe(6);
  });

  it('lets nobody in while it is damaged, and everybody again when it is restored', async () => {
    const secret = (await make()).secret.reveal();
    const text = await readFile(path(), 'utf8');
    for (const damaged of [
      '',
      '{',
      '{}',
      '[]',
      text.replace('"version": 2', '"version": 3'),
      text.replace('"organisation"', '"customer"'),
      text.slice(0, -20),
    ]) {
      await writeFile(path(), damaged);
      await expect(store.find(secret)).rejects.toMatchObject({ code: 'storage_failed' });
      await expect(make()).rejects.toMatchObject({ code: 'storage_failed' });
    }
    await writeFile(path(), text);
    expect(await store.find(secret)).toBeDefined();
  });

  it('of the first version lets in whom it did, and becomes one of this version with the next change', async () => {
    const { secret, key } = await make({ org: 'acme' });
    const text = await readFile(path(), 'utf8');
    await writeFile(path(), text.replace('"version": 2', '"version": 1'));
    const principal = await store.find(secret.reveal());
    expect(principal).toMatchObject({ keyId: key.id, role: 'organisation', scopes: new Set(SCOPES) });
    await make();
    expect(JSON.parse(await readFile(path(), 'utf8'))).toMatchObject({ version: 2, keys: [{ id: key.id }, {}] });
  });

  it('that is missing holds no keys', async () => {
    expect(await store.list()).toEqual([]);
    expect(await store.find('msb_x')).toBeUndefined();
    expect(await store.findToken('msb_x')).toBeUndefined();
  });
});

describe('a token of the JSON-RPC line', () => {
  it('speaks for its namespace alone, or for the administrator', async () => {
    const [org, scopes] = [DEFAULT_ORGANISATION, new Set(SCOPES)];
    const token = async (namespace: string) => (await store.createToken(namespace, DAY_MS)).reveal();
    expect(await store.findToken(await token('acme'))).toEqual({
      role: 'organisation',
      org,
      namespace: 'acme',
      scopes,
    });
    expect(await store.findToken(await token('*'))).toEqual({ role: 'administrator', org, scopes });
    expect(await open().findToken(await token('new'))).toMatchObject({ namespace: 'new' });
    await expect(token('../x')).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('is worthless when it has expired, or when all tokens are revoked', async () => {
    const token = (await store.createToken('acme', DAY_MS)).reveal();
    now += DAY_MS;
    expect(await store.findToken(token)).toBeUndefined();
    const next = (await store.createToken('acme', DAY_MS)).reveal();
    expect(await store.findToken(next)).toBeDefined();
    await open().revokeTokens();
    expect(await store.findToken(next)).toBeUndefined();
    expect(await store.findToken((await store.createToken('acme', DAY_MS)).reveal())).toBeDefined();
    expect(await store.findToken(next)).toBeUndefined();
  });
});
