import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeyInfo } from '../../src/sandbox/key-file.ts';
import { KeyStore } from '../../src/sandbox/key-store.ts';
import { cli, startCli } from '../support/cli.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

let folder: TempFolder;
beforeEach(async () => {
  folder = await tempFolder();
  await writeFile(join(folder.path, 'config.yaml'), 'paths: { workspaces: ./w }\n');
});
afterEach(() => folder[Symbol.asyncDispose]());

const key = (...args: string[]) => cli(['key', ...args], { cwd: folder.path });
const store = () => new KeyStore(join(folder.path, 'w/.server'));

it('workcell serve takes the keys that there are, and keys that are made and revoked while it runs', async () => {
  const first = await key('create', '--name', 'first', '--role', 'administrator');
  const server = startCli(['serve', '--port', '0'], { cwd: folder.path });
  const line = await eventually(() => /MSB_API_URL=(\S+) MSB_API_KEY=(.+)\n/.exec(server.stdout()) ?? undefined);
  const [, url = '', shown] = line;
  expect(shown).toBe("'<a key of workcell key create>'");
  const status = async (secret: string) =>
    (await fetch(`${url}/v1/sandboxes`, { headers: { authorization: `Bearer ${secret}` } })).status;
  expect(await status(first.stdout.trim())).toBe(200);
  const second = JSON.parse((await key('create', '--name', 'second', '--json')).stdout) as KeyInfo & { secret: string };
  expect(await status(second.secret)).toBe(200);
  await key('revoke', second.id);
  expect(await status(second.secret)).toBe(401);
  server.signal('SIGINT');
  expect((await server.ended).stdout).not.toContain('msb_');
});

describe('workcell key', () => {
  it('makes a key, whose secret it prints alone and once, lists it without, and revokes it', async () => {
    const made = await key('create', '--name', 'ci', '--org', 'acme', '--expires', '30d', '--max-sandboxes', '2');
    expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^msb_[0-9a-f]{64}\n$/) });
    const secret = made.stdout.trim();
    const listed = await key('list', '--json');
    const [info] = JSON.parse(listed.stdout) as [KeyInfo];
    expect(info).toMatchObject({
      name: 'ci',
      role: 'organisation',
      org: { name: 'acme' },
      maxSandboxes: 2,
      active: true,
    });
    expect(Date.parse(info.expiresAt ?? '') - Date.parse(info.createdAt)).toBeCloseTo(30 * 86_400_000, -3);
    const shown = await key('list');
    expect(shown.stdout).toContain(info.id);
    expect(made.stderr).toContain(info.id);
    expect(listed.stdout + shown.stdout).not.toContain(secret.slice(12));
    expect(await store().find(secret)).toMatchObject({ keyId: info.id });

    expect(await key('revoke', info.id)).toMatchObject({ code: 0, stdout: '' });
    expect(await store().find(secret)).toBeUndefined();
    expect((await key('list')).stdout).toContain('revoked');
  });

  it('makes keys of customers, and shows whose they are and what for', async () => {
    const made = await key('create', '--name', 'ann', '--customer', 'acme.ann', '--scopes', 'execute,read');
    expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining('customer acme.ann; read execute') });
    await key('create', '--name', 'bob', '--customer', 'bob');
    const [ann, bob] = JSON.parse((await key('list', '--json')).stdout) as [KeyInfo, KeyInfo];
    expect(ann).toMatchObject({ role: 'customer', customer: 'acme.ann', scopes: ['read', 'execute'] });
    expect(bob).toMatchObject({ customer: 'bob', scopes: ['read', 'execute', 'files', 'sessions', 'mcp'] });
    expect((await key('list')).stdout).toMatch(/customer +acme +acme\.ann +read,execute +active/);
    expect((await key('revoke', ann.id)).stderr).toContain('customer acme.ann');
    const revoked = JSON.parse((await key('revoke', bob.id, '--json')).stdout);
    expect(revoked).toMatchObject({ id: bob.id, active: false, revokedAt: expect.any(String) });
  });

  it('prints a new key as JSON', async () => {
    const { stdout } = await key('create', '--name', 'root', '--role', 'administrator', '--json');
    const { secret, ...info } = JSON.parse(stdout) as KeyInfo & { secret: string };
    expect(info).toMatchObject({ role: 'administrator', org: { name: 'default' } });
    expect(await store().find(secret)).toMatchObject({ keyId: info.id, role: 'administrator' });
  });

  it('makes tokens for the JSON-RPC line, and revokes them all', async () => {
    const { stdout } = await key('create', '--jwt', '--namespace', 'acme', '--expires', '24h');
    const token = stdout.trim();
    expect(token).toMatch(/^msb_[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(await store().findToken(token)).toMatchObject({ role: 'organisation', namespace: 'acme' });
    expect((await key('revoke', '--tokens')).code).toBe(0);
    expect(await store().findToken(token)).toBeUndefined();
  });

  it.each([
    [['create'], /--name/],
    [['create', '--name', 'x', '--role', 'king'], /administrator, organisation/],
    [['create', '--name', 'x', '--role', 'customer'], /needs a customer/],
    [['create', '--name', 'x', '--customer', 'a.b.c'], /customer id "a.b.c" is not valid/],
    [['create', '--name', 'x', '--customer', 'ann', '--scopes', 'read,all'], /read, execute, files/],
    [['create', '--name', 'x', '--org', '../x'], /name of the organisation/],
    [['create', '--name', 'x', '--expires', 'soon'], /"soon" is not a duration/],
    [['create', '--name', 'x', '--expires', '9999d'], /at most 3650d/],
    [['create', '--name', 'x', '--max-sandboxes', '0'], /above 0/],
    [['create', '--name', 'x', '--namespace', 'y'], /--jwt/],
    [['create', '--jwt'], /--namespace/],
    [['create', '--jwt', '--namespace', '../x'], /name of the namespace/],
    [['create', '--jwt', '--namespace', 'x', '--role', 'administrator'], /only --namespace/],
    [['revoke'], /Name one key/],
    [['revoke', 'key_none'], /no key with the id "key_none"/],
  ])('refuses %j, and makes nothing', async (args, message) => {
    const { code, stdout, stderr } = await key(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    await expect(readFile(join(folder.path, 'w/.server/keys.json'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('shows an example with its help', async () => {
    for (const name of ['create', 'list', 'revoke']) {
      expect((await key(name, '--help')).stdout).toMatch(new RegExp(`Example:\\n {2}workcell key ${name}`));
    }
  });
});
