import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Page, SandboxResponse } from '../../src/protocol/rest.ts';
import { AgentClient } from '../support/agent-client.ts';
import { eventually } from '../support/processes.ts';
import { API_KEY, openServer, sandboxSpec, type TestServer } from '../support/sandbox-server.ts';

const SECRET = {
  env_var: 'KEY',
  value: 'x',
  placeholder: '$MSB_KEY',
  allowed_hosts: [{ type: 'exact', value: 'api.example.com' }],
};

let server: TestServer;

beforeAll(async () => {
  server = await openServer();
  await mkdir(join(server.folder, 'allowed/data'), { recursive: true });
});

afterAll(() => server[Symbol.asyncDispose]());

/** An error answer has exactly this shape. */
const refusal = (code: string, message: unknown = expect.any(String), details: unknown = null) => ({
  error: { code, message, details },
});
const create = (name: string, spec: object = {}) =>
  server.call('POST', '/v1/sandboxes', { body: { ...sandboxSpec(name), ...spec } });
const statusOf = async (id: string) =>
  ((await server.call('GET', `/v1/sandboxes/${id}`)).body as SandboxResponse).status;

describe('a key', () => {
  it.each([
    ['none', null],
    ['a wrong one', 'msb_wrong'],
    ['an empty one', ''],
    ['the start of the right one', 'msb_of-the-tes'],
  ])('is needed: %s is 401', async (_what, key) => {
    for (const [method, path] of [
      ['GET', '/v1/sandboxes'],
      ['POST', '/v1/sandboxes'],
      ['GET', '/v1/volumes'],
      ['GET', '/v1/sandboxes/x/agent'],
      ['GET', '/v1/nowhere'],
    ] as const) {
      expect(await server.call(method, path, { key })).toEqual({ status: 401, body: refusal('invalid_api_key') });
    }
  });

  it('can be any of those that the server knows', async () => {
    expect((await server.call('GET', '/v1/sandboxes', { key: 'msb_another' })).status).toBe(200);
  });
});

describe('sandboxes that do not run', () => {
  it('are created, found by id and by name, listed and deleted', async () => {
    const { status, body } = await create('one', { labels: { team: 'a' } });
    expect(status).toBe(200);
    const sandbox = body as SandboxResponse;
    expect(sandbox).toMatchObject({ name: 'one', status: 'created', driver: 'qemu', started_at: null });
    expect((await server.call('GET', `/v1/sandboxes/${sandbox.id}`)).body).toEqual(sandbox);
    expect((await server.call('GET', '/v1/sandboxes/by-name/one')).body).toEqual(sandbox);
    expect(await server.call('DELETE', '/v1/sandboxes/by-name/one')).toMatchObject({ status: 200 });
    expect(await server.call('GET', `/v1/sandboxes/${sandbox.id}`)).toEqual({
      status: 404,
      body: refusal('sandbox_not_found', 'There is no such sandbox'),
    });
  });

  it('are listed in pages and by label', async () => {
    for (const n of [1, 2, 3, 4, 5]) await create(`page-${n}`, { labels: { odd: String(n % 2 === 1), run: 'pages' } });
    const list = async (query: string) =>
      (await server.call('GET', `/v1/sandboxes?${query}`)).body as Page<SandboxResponse>;
    const labels = (value: object) => `labels=${encodeURIComponent(JSON.stringify(value))}`;
    const seen: string[] = [];
    let query = `limit=2&${labels({ run: 'pages' })}`;
    for (;;) {
      const page = await list(query);
      expect(page.data.length).toBeLessThanOrEqual(2);
      seen.push(...page.data.map(({ name }) => name));
      expect(page.has_more).toBe(page.next_cursor !== null);
      if (page.next_cursor === null) break;
      query = `limit=2&${labels({ run: 'pages' })}&cursor=${page.next_cursor}`;
    }
    expect(seen).toEqual(['page-1', 'page-2', 'page-3', 'page-4', 'page-5']);
    expect((await list(labels({ odd: 'false', run: 'pages' }))).data.map(({ name }) => name)).toEqual([
      'page-2',
      'page-4',
    ]);
    expect(await server.call('GET', '/v1/sandboxes?labels=nonsense')).toEqual({
      status: 400,
      body: refusal('invalid_request'),
    });
    expect(await server.call('GET', '/v1/sandboxes?cursor=gone')).toEqual({
      status: 400,
      body: refusal('invalid_request'),
    });
    for (const limit of ['0', '101', 'x']) {
      expect((await server.call('GET', `/v1/sandboxes?limit=${limit}`)).status).toBe(400);
    }
    for (const name of seen) await server.call('DELETE', `/v1/sandboxes/by-name/${name}`);
  });

  it('have names that are theirs alone, also when two ask at once', async () => {
    const answers = await Promise.all([create('twin'), create('twin'), create('twin')]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    expect(answers.find(({ status }) => status === 409)?.body).toEqual(refusal('name_already_exists'));
    await server.call('DELETE', '/v1/sandboxes/by-name/twin');
  });

  it('cannot be stopped, nor talked to', async () => {
    const { id } = (await create('idle')).body as SandboxResponse;
    const invalid = { status: 409, body: refusal('invalid_state_transition') };
    expect(await server.call('POST', `/v1/sandboxes/${id}/stop`)).toEqual(invalid);
    await expect(AgentClient.open(server, id)).rejects.toThrow(/409/);
    await server.call('DELETE', `/v1/sandboxes/${id}`);
    expect(await server.call('POST', `/v1/sandboxes/${id}/start`)).toEqual({
      status: 404,
      body: refusal('sandbox_not_found'),
    });
    await expect(AgentClient.open(server, id)).rejects.toThrow(/404/);
  });
});

describe('a request that cannot be honoured', () => {
  it.each([
    ['no name', { name: undefined }, /name/],
    ['a name that leads elsewhere', { name: '../x' }, /name/],
    ['an unknown runtime field', { runtime: { speed: 'high' } }, /runtime/],
    ['an unknown network field', { network: { proxy: 'x' } }, /network/],
    ['no memory at all', { resources: { memory_mib: 0 } }, /memory_mib/],
    ['a mount at a relative path', { mounts: [{ type: 'tmpfs', guest: 'x' }] }, /guest/],
    ['a mount at a path with ..', { mounts: [{ type: 'tmpfs', guest: '/a/../../b' }] }, /guest/],
    ['an unknown resource', { rlimits: [{ resource: 'luck', soft: 1, hard: 1 }] }, /rlimits/],
    ['a soft limit above the hard one', { rlimits: [{ resource: 'nofile', soft: 2, hard: 1 }] }, /rlimits/],
    ['a patch of no kind', { patches: [{ type: 'magic' }] }, /patches/],
    ['a script that is a path', { runtime: { scripts: { '../x': '' } } }, /scripts/],
    ['a slug with capitals', { slug: 'My-Slug' }, /slug/],
  ])('is refused with the field that is wrong: %s', async (_what, spec, field) => {
    const { status, body } = await create('bad', spec);
    expect({ status, body }).toEqual({
      status: 400,
      body: refusal('invalid_request', expect.stringMatching(field), {
        problems: expect.arrayContaining([{ field: expect.stringMatching(field), message: expect.any(String) }]),
      }),
    });
  });

  it.each([
    ['secrets', { network: { secrets: { entries: [SECRET] } } }],
    ['strict', { network: { strict: true } }],
    ['disk_size_mib', { resources: { disk_size_mib: 100 } }],
    ['patches', { patches: [{ type: 'copy_file', src: '/etc/passwd', dst: '/x', replace: false }] }],
    ['init', { init: { command: 'x' } }],
    ['security_profile', { security_profile: 'restricted' }],
    ['registry', { registry: { mode: 'inline', username: 'u', password: 'p' } }],
    ['quota_mib', { mounts: [{ type: 'bind', host: '/', guest: '/x', quota_mib: 5 }] }],
    ['disk_image', { mounts: [{ type: 'disk_image', host: '/x', guest: '/x', format: 'raw' }] }],
    ['image', { image: { type: 'oci', reference: 'alpine' } }],
  ])('is refused by name: %s', async (field, spec) => {
    expect(await create('bad', spec)).toEqual({
      status: 400,
      body: refusal('invalid_request', expect.stringContaining(field)),
    });
    expect((await server.call('GET', '/v1/sandboxes/by-name/bad')).status).toBe(404);
  });

  it.each([
    ['the root', () => '/'],
    ['the folder of the volumes', () => join(server.folder, 'volumes')],
    ['a way out with ..', () => `${server.folder}/allowed/../..`],
    ['a neighbour with the same start', () => `${server.folder}/allowed-not`],
    ['a link that leads out', () => join(server.folder, 'allowed/link')],
    ['a folder behind a link that leads out', () => join(server.folder, 'allowed/link/etc')],
    ['what does not exist', () => join(server.folder, 'allowed/none')],
    ['a relative path', () => 'allowed'],
  ])('is refused for a bind mount of %s, without a word on what is there', async (_what, host) => {
    await mkdir(join(server.folder, 'allowed-not'), { recursive: true });
    await symlink('/', join(server.folder, 'allowed/link')).catch(() => {});
    const answer = await create('bad', { mounts: [{ type: 'bind', host: host(), guest: '/x' }] });
    expect(answer).toEqual({
      status: 400,
      body: refusal('invalid_request', expect.stringContaining('outside of the folders')),
    });
    expect(JSON.stringify(answer.body)).not.toContain(server.folder);
  });

  it('is refused when its body is not JSON, or too large', async () => {
    expect(await server.call('POST', '/v1/sandboxes', { body: '{' })).toEqual({
      status: 400,
      body: refusal('invalid_request'),
    });
    const large = await server.call('POST', '/v1/sandboxes', {
      body: { ...sandboxSpec('x'), pad: 'x'.repeat(2 ** 20) },
    });
    expect(large).toEqual({
      status: expect.toSatisfy((status) => status === 400 || status === 413),
      body: refusal('invalid_request'),
    });
  });

  it('is refused for a path that there is not', async () => {
    expect(await server.call('GET', '/v1/nothing')).toEqual({ status: 404, body: refusal('not_found') });
  });
});

describe('a sandbox that runs', () => {
  it('waits to run, says how it came up, and goes through its states', async () => {
    const sandbox = await server.start('lives', { env: [{ key: 'SECRET', value: 'value-of-a-secret' }] });
    expect(sandbox).toMatchObject({
      status: 'running',
      boot: 'restored',
      started_at: expect.any(String),
      stopped_at: null,
    });
    const path = `/v1/sandboxes/${sandbox.id}`;
    expect(JSON.stringify(sandbox)).not.toContain('value-of-a-secret');
    const invalid = { status: 409, body: refusal('invalid_state_transition') };
    expect(await server.call('POST', `${path}/start`)).toEqual(invalid);
    expect((await server.call('POST', `${path}/stop`)).body).toMatchObject({
      status: 'stopped',
      stopped_at: expect.any(String),
    });
    expect(await server.call('POST', `${path}/stop`)).toEqual(invalid);
    expect((await server.call('POST', `${path}/start`)).body).toMatchObject({ status: 'starting' });
    await eventually(async () => (await statusOf(sandbox.id)) === 'running');
    expect((await server.call('DELETE', path)).status).toBe(200);
  });

  it('has patches and scripts in place, its environment set and its command running before it is `running`', async () => {
    const { id } = await server.start('prepared', {
      env: [{ key: 'GREETING', value: 'hello' }],
      runtime: {
        scripts: { greet: '#!/bin/sh\necho $GREETING from a script\n' },
        cmd: ['sh', '-c', 'echo of the command'],
      },
      patches: [
        { type: 'text', path: '/etc/app/a.conf', content: 'one\n', mode: 0o640, replace: false },
        { type: 'append', path: '/etc/app/a.conf', content: 'two\n' },
        { type: 'file', path: '/etc/app/raw', content: [0, 255, 10], replace: true },
        { type: 'mkdir', path: '/srv/data', mode: 0o700 },
        { type: 'symlink', target: 'a.conf', link: '/etc/app/link', replace: false },
        { type: 'text', path: '/etc/app/gone', content: '', replace: false },
        { type: 'remove', path: '/etc/app/gone' },
        { type: 'remove', path: '/etc/app/never-was' },
      ],
    });
    const client = await AgentClient.open(server, id);
    const shell = async (command: string) => (await client.exec({ cmd: 'sh', args: ['-c', command], cwd: '/' })).stdout;
    expect(await shell('cat /etc/app/link; stat -c %a /etc/app/a.conf /srv/data; ls /etc/app')).toBe(
      'one\ntwo\n640\n700\na.conf\nlink\nraw\n',
    );
    expect(await shell('od -An -tx1 /etc/app/raw; greet')).toBe(' 00 ff 0a\nhello from a script\n');
    expect(await readLog(server, id, 'of the command')).toMatch(/"source":"stdout".*"text":"of the command\\n"/);
    client.socket.terminate();
    await server.call('DELETE', `/v1/sandboxes/${id}`);
  });

  it('does not start with a patch that cannot be made, and says which', async () => {
    const { body } = await server.call('POST', '/v1/sandboxes?start=true&wait_for=running', {
      body: {
        ...sandboxSpec('unpatched'),
        patches: [
          { type: 'mkdir', path: '/x' },
          { type: 'text', path: '/usr', content: '', replace: true },
        ],
      },
    });
    expect(body).toMatchObject({
      status: 'failed',
      last_failure_message: expect.stringMatching(/patch 2 \("text"\)/),
      boot: null,
    });
    await server.call('DELETE', '/v1/sandboxes/by-name/unpatched');
  });

  it('ends when its time is up', async () => {
    const { id } = await server.start('brief', { lifecycle: { max_duration_secs: 1 } });
    await eventually(async () => (await statusOf(id)) === 'stopped');
    await server.call('DELETE', `/v1/sandboxes/${id}`);
  });

  it('ends when nobody uses it, and is forgotten when it was ephemeral', async () => {
    const { id } = await server.start('unused', { lifecycle: { idle_timeout_secs: 1, ephemeral: true } });
    await eventually(async () => {
      const { data } = (await server.call('GET', '/v1/sandboxes?limit=100')).body as Page<SandboxResponse>;
      return data.every((sandbox) => sandbox.id !== id);
    });
    // Who has stopped it can see that it has: for a while.
    expect(await server.call('GET', `/v1/sandboxes/${id}`)).toMatchObject({ status: 200, body: { status: 'stopped' } });
    expect((await server.call('POST', `/v1/sandboxes/${id}/start`)).status).toBe(404);
    expect((await create('unused')).status).toBe(200);
    await server.call('DELETE', '/v1/sandboxes/by-name/unused');
  });

  it('sees mounts as they were asked for', async () => {
    await writeFile(join(server.folder, 'allowed/data/in.txt'), 'of the host');
    const { id } = await server.start('mounts', {
      mounts: [
        { type: 'bind', host: join(server.folder, 'allowed/data'), guest: '/data', options: { readonly: true } },
        { type: 'tmpfs', guest: '/scratch', size_mib: 1 },
      ],
    });
    const client = await AgentClient.open(server, id);
    const shell = (command: string) => client.exec({ cmd: 'sh', args: ['-c', command], cwd: '/' });
    expect(await shell('cat /data/in.txt')).toMatchObject({ stdout: 'of the host', end: { code: 0 } });
    expect(await shell('mount -o remount,bind,rw /data; echo x > /data/in.txt')).toMatchObject({
      stderr: expect.stringMatching(/Read-only file system/),
    });
    expect(await shell('dd if=/dev/zero of=/scratch/x bs=1M count=2 2>&1')).toMatchObject({
      stdout: expect.stringMatching(/No space left/),
    });
    expect(await readFile(join(server.folder, 'allowed/data/in.txt'), 'utf8')).toBe('of the host');
    client.socket.terminate();
    await server.call('DELETE', `/v1/sandboxes/${id}`);
  });
});

describe('a named volume', () => {
  it('keeps its files from one sandbox to the next, until it is deleted', async () => {
    const { body: volume } = await server.call('POST', '/v1/volumes', { body: { name: 'kept' } });
    expect((await server.call('POST', '/v1/volumes', { body: { name: 'kept' } })).status).toBe(409);
    const mounts = [{ type: 'named', name: 'kept', guest: '/kept' }];
    for (const [name, command] of [
      ['writer', 'echo hello > /kept/file'],
      ['reader', 'cat /kept/file'],
    ] as const) {
      const { id } = await server.start(name, { mounts });
      const client = await AgentClient.open(server, id);
      const { stdout } = await client.exec({ cmd: 'sh', args: ['-c', command], cwd: '/' });
      expect(stdout).toBe(name === 'reader' ? 'hello\n' : '');
      client.socket.terminate();
      await server.call('DELETE', `/v1/sandboxes/${id}`);
    }
    expect((await server.call('GET', '/v1/volumes')).body).toEqual([{ ...(volume as object), used_bytes: 4096 }]);
    expect((await server.call('DELETE', `/v1/volumes/${(volume as { id: string }).id}`)).status).toBe(200);
    expect((await create('late', { mounts })).status).toBe(404);
  });
});

/** What the log stream sends until it holds `text`. */
async function readLog({ url }: TestServer, id: string, text: string): Promise<string> {
  const response = await fetch(`${url}/v1/sandboxes/${id}/logs`, {
    headers: { authorization: `Bearer ${API_KEY}` },
    signal: AbortSignal.timeout(120_000),
  });
  let seen = '';
  for await (const chunk of response.body ?? []) {
    seen += Buffer.from(chunk).toString();
    if (seen.includes(text)) break;
  }
  return seen;
}
