import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyStore } from '../../../src/sandbox/key-store.ts';
import { DEFAULT_ORGANISATION } from '../../../src/sandbox/principal.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const DAY_MS = 24 * 60 * 60_000;
const MODULE = new URL('../../../src/sandbox/key-store.ts', import.meta.url).href;

let folder: TempFolder;
let now: number;
let store: KeyStore;
const path = () => join(folder.path, 'state/keys.json');
const open = () => new KeyStore(join(folder.path, 'state'), { now: () => now });
const make = (options: Partial<Parameters<KeyStore['create']>[0]> = {}) =>
  store.create({ name: 'a key', role: 'organisation', ...options });

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
    expect(await store.find(secret.reveal())).toEqual({ keyId: key.id, role: 'organisation', org, maxSandboxes: 3 });
  });

  it('belongs to the default organisation when it names none', async () => {
    const { secret, key } = await make({ role: 'administrator' });
    expect(await store.find(secret.reveal())).toEqual({
      keyId: key.id,
      role: 'administrator',
      org: DEFAULT_ORGANISATION,
    });
  });

  it('shares its organisation with every other key that names it', async () => {
    const [one, two, other] = [await make({ org: 'acme' }), await make({ org: 'acme' }), await make({ org: 'Acme' })];
    expect(two.key.org).toEqual(one.key.org);
    expect(other.key.org.id).not.toBe(one.key.org.id);
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
    expect(await used()).toBe('2026-01-01T00:05:00.000Z');
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
    for (const damaged of ['', '{', '{}', '[]', text.replace('"version": 1', '"version": 2'), text.slice(0, -20)]) {
      await writeFile(path(), damaged);
      await expect(store.find(secret)).rejects.toMatchObject({ code: 'storage_failed' });
      await expect(make()).rejects.toMatchObject({ code: 'storage_failed' });
    }
    await writeFile(path(), text);
    expect(await store.find(secret)).toBeDefined();
  });

  it('that is missing holds no keys', async () => {
    expect(await store.list()).toEqual([]);
    expect(await store.find('msb_x')).toBeUndefined();
    expect(await store.findToken('msb_x')).toBeUndefined();
  });
});

describe('a token of the JSON-RPC line', () => {
  it('speaks for its namespace alone, or for the administrator', async () => {
    const org = DEFAULT_ORGANISATION;
    const token = async (namespace: string) => (await store.createToken(namespace, DAY_MS)).reveal();
    expect(await store.findToken(await token('acme'))).toEqual({ role: 'organisation', org, namespace: 'acme' });
    expect(await store.findToken(await token('*'))).toEqual({ role: 'administrator', org });
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
