import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { DEFAULT_ORGANISATION } from '../../../src/core/principal.ts';
import type { VolumeResponse } from '../../../src/protocol/rest.ts';
import { VolumeStore } from '../../../src/sandbox/volumes.ts';
import { reapCapacityMounts } from '../../../src/util/capacity-image.ts';
import { findMount, listLoopDevices } from '../../../src/util/mount-table.ts';
import { eventually } from '../../support/processes.ts';
import { API_KEY, openServer, type TestServer } from '../../support/sandbox-server.ts';
import { command, type StockClients, stockClients } from '../../support/stock-clients.ts';
import { swapForEver } from '../util/swap-for-ever.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

const SDK_PROGRAM = fileURLToPath(new URL('../../support/stock-volume-program.ts', import.meta.url));
const HOLDER = fileURLToPath(new URL('../../support/volume-holder.ts', import.meta.url));
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const isRoot = process.geteuid?.() === 0;
const ORG = DEFAULT_ORGANISATION.id;

let server: TestServer;
let clients: StockClients;

beforeAll(async () => {
  [server, clients] = await Promise.all([openServer(), stockClients()]);
});

afterAll(() => server?.[Symbol.asyncDispose]());

/** Makes a volume for the running test. */
async function makeVolume(body: Readonly<Record<string, unknown>>): Promise<VolumeResponse> {
  const answer = await server.call('POST', '/v1/volumes', { body });
  expect(answer.status).toBe(200);
  const volume = answer.body as VolumeResponse;
  onTestFinished(async () => void (await server.call('DELETE', `/v1/volumes/${volume.id}`)));
  return volume;
}

const dataOf = (name: string) => join(server.folder, 'volumes', ORG, name, 'data');
const encode = (path: string | Buffer) => Buffer.from(path).toString('base64url');

interface FileAnswer {
  readonly status: number;
  readonly text: string;
  /** The error's code, when it is one. */
  readonly code: string | undefined;
}

async function file(
  method: 'GET' | 'PUT' | 'DELETE' | 'POST',
  { id }: { readonly id: string },
  suffix: string,
  options: { path?: string | Buffer; recursive?: boolean; body?: string | Buffer | Readable; json?: unknown } = {},
): Promise<FileAnswer> {
  const { path, recursive, body, json } = options;
  const response = await request(`${server.url}/v1/volumes/${id}/files${suffix}`, {
    method,
    headers: {
      authorization: `Bearer ${API_KEY}`,
      ...(path === undefined ? {} : { 'x-msb-file-path': encode(path) }),
      ...(recursive === undefined ? {} : { 'x-msb-file-recursive': String(recursive) }),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: json === undefined ? (body ?? null) : JSON.stringify(json),
  });
  const text = await response.body.text();
  const code = response.statusCode < 400 ? undefined : (JSON.parse(text) as { error: { code: string } }).error.code;
  return { status: response.statusCode, text, code };
}

const read = (volume: VolumeResponse, path: string | Buffer) => file('GET', volume, '/content', { path });
const write = (volume: VolumeResponse, path: string, body: string | Buffer | Readable) =>
  file('PUT', volume, '/content', { path, body });

async function list(volume: VolumeResponse, path = ''): Promise<string[]> {
  const { text } = await file('GET', volume, '', { path });
  return (JSON.parse(text) as { entries: { path: string }[] }).entries.map((entry) => entry.path);
}

describe('the stock clients', () => {
  const env = () => ({ MSB_BACKEND: 'cloud', MSB_API_URL: server.url, MSB_API_KEY: API_KEY, HOME: server.folder });

  it('work on the files of volumes through the SDK', async () => {
    const { stdout, stderr, code } = await command(process.execPath, [SDK_PROGRAM, clients.folder], { env: env() });
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    expect(JSON.parse(stdout)).toEqual({
      read: 'hällo',
      copied: 'hällo',
      bigIsEqual: true,
      empty: 0,
      streamed: [10_000_000, 0, 1, 99],
      root: [
        ['/a', 'directory'],
        ['/copies', 'directory'],
        ['/empty', 'file'],
        ['/moved', 'directory'],
        ['/streamed', 'file'],
      ],
      moved: [['/moved/e.txt', 'file', 6, '100644']],
      stat: ['file', 6, false, true],
      exists: [true, false, true],
      missing: expect.stringMatching(/no such file or folder/),
      outside: expect.stringMatching(/is not a name in it/),
      folderAsFile: expect.stringMatching(/it is a folder/),
      removed: ['undefined', 'undefined', expect.stringMatching(/names the folder itself/)],
      left: ['/a', '/copies', '/streamed'],
      listed: [['data', [['env', 'test']]]],
      used: true,
      cappedBytes: isRoot ? 2 * GIB : expect.stringMatching(/run the server as root/),
      defaults: [true, '', '{}'],
      twice: expect.stringMatching(/exists already/),
      gone: expect.stringMatching(/data/),
    });
  });

  it('make, list and remove volumes with `msb`', async () => {
    const msb = (...args: string[]) => command(clients.msb, ['volume', ...args], { env: env() });
    expect(await msb('create', 'from-msb')).toMatchObject({ code: 0, stdout: 'from-msb\n' });
    expect((await msb('ls', '--quiet')).stdout.split('\n')).toContain('from-msb');
    expect((await msb('create', 'from-msb')).code).not.toBe(0);
    expect((await msb('rm', 'from-msb')).code).toBe(0);
    expect((await msb('ls', '--quiet')).stdout.split('\n')).not.toContain('from-msb');
    expect((await msb('rm', 'from-msb')).code).not.toBe(0);
  });
});

describe('/v1/volumes', () => {
  it('describes a volume in the words of the original', async () => {
    const volume = await makeVolume({ name: 'plain', labels: { a: 'b' } });
    expect(volume).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      name: 'plain',
      kind: 'managed',
      storage: 'block',
      status: 'active',
      labels: { a: 'b' },
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      updated_at: volume.created_at,
      capacity_bytes: null,
      used_bytes: null,
    });
    await write(volume, 'file', Buffer.alloc(100_000));
    const { body } = await server.call('GET', `/v1/volumes/${volume.id}`);
    expect(body).toMatchObject({ ...volume, used_bytes: expect.closeTo(100_000, -4) });
  });

  it.each([
    ['POST', '/v1/volumes', { name: 'Bad_Name' }, 400, 'invalid_request'],
    ['POST', '/v1/volumes', { name: '..' }, 400, 'invalid_request'],
    ['POST', '/v1/volumes', { name: 'a'.repeat(64) }, 400, 'invalid_request'],
    ['POST', '/v1/volumes', { name: 'zero', capacity_gib: 0 }, 400, 'invalid_request'],
    ['GET', '/v1/volumes/00000000-0000-4000-8000-000000000009', undefined, 404, 'sandbox_not_found'],
    ['GET', '/v1/volumes/..%2F..%2Fetc', undefined, 404, 'sandbox_not_found'],
    ['PATCH', '/v1/volumes/00000000-0000-4000-8000-000000000009', {}, 404, 'sandbox_not_found'],
    ['DELETE', '/v1/volumes/none', undefined, 404, 'sandbox_not_found'],
  ])('refuses %s %s %j with %i', async (method, path, body, status, code) => {
    const answer = await server.call(method, path, { body });
    expect(answer).toMatchObject({ status, body: { error: { code } } });
  });

  it('gives every organisation a host volume that stays, without a limit', async () => {
    const [first, second] = await Promise.all([
      server.call('GET', '/v1/volumes/default'),
      server.call('GET', '/v1/volumes/default'),
    ]);
    expect(first.body).toMatchObject({ name: null, kind: 'host', capacity_bytes: null });
    const { id } = first.body as VolumeResponse;
    expect(second.body).toMatchObject({ id });
    const conflict = { status: 409, body: { error: { code: 'invalid_request' } } };
    expect(await server.call('DELETE', `/v1/volumes/${id}`)).toMatchObject(conflict);
    expect(await server.call('PATCH', `/v1/volumes/${id}`, { body: { capacity_gib: 1 } })).toMatchObject(conflict);
    expect((await server.call('GET', '/v1/volumes')).body).toContainEqual(
      expect.objectContaining({ id, kind: 'host' }),
    );
  });

  it('replaces labels as a whole and leaves what is omitted', async () => {
    const { id } = await makeVolume({ name: 'labelled', labels: { a: '1', b: '2' } });
    const patch = async (body: unknown) => (await server.call('PATCH', `/v1/volumes/${id}`, { body })).body;
    expect(await patch({ labels: { c: '3' } })).toMatchObject({ labels: { c: '3' } });
    expect(await patch({})).toMatchObject({ labels: { c: '3' }, capacity_bytes: null });
    expect(await patch({ labels: null, capacity_gib: null })).toMatchObject({ labels: { c: '3' } });
    expect(await patch({ labels: {} })).toMatchObject({ labels: {} });
  });

  it('lets one of many win that make the same name, and leaves nothing of the others', async () => {
    const body = { name: 'contended' };
    const answers = await Promise.all(Array.from({ length: 10 }, () => server.call('POST', '/v1/volumes', { body })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 9 }, () => 409)]);
    const won = answers.find(({ status }) => status === 200)?.body as VolumeResponse;
    await server.call('DELETE', `/v1/volumes/${won.id}`);
    await eventually(async () =>
      (await readdir(join(server.folder, 'volumes', ORG))).every((name) => !/^\.(new|gone)/.test(name)),
    );
  });
});

describe('/v1/volumes/{id}/files', () => {
  it('replaces files as a whole and keeps their mode', async () => {
    const volume = await makeVolume({ name: 'modes' });
    expect((await write(volume, 'run.sh', 'one')).status).toBe(204);
    await chmod(join(dataOf('modes'), 'run.sh'), 0o755);
    await write(volume, 'run.sh', 'two');
    expect((await stat(join(dataOf('modes'), 'run.sh'))).mode & 0o7777).toBe(0o755);
    expect((await read(volume, 'run.sh')).text).toBe('two');
    expect(await readdir(dataOf('modes'))).toEqual(['run.sh']);
  });

  it('takes content of any type for what it is', async () => {
    const volume = await makeVolume({ name: 'types' });
    await file('PUT', volume, '/content', { path: 'a.json', json: { not: 'parsed' } });
    expect((await read(volume, 'a.json')).text).toBe('{"not":"parsed"}');
  });

  it('streams both ways without holding the file in memory', async () => {
    const volume = await makeVolume({ name: 'large' });
    const before = process.memoryUsage().rss;
    const block = Buffer.alloc(1024 * 1024, 7);
    const size = 300 * block.length;
    const source = Readable.from(Array.from({ length: 300 }, () => block));
    expect((await write(volume, 'large', source)).status).toBe(204);
    const response = await request(`${server.url}/v1/volumes/${volume.id}/files/content`, {
      headers: { authorization: `Bearer ${API_KEY}`, 'x-msb-file-path': encode('large') },
    });
    expect(response.headers['content-length']).toBe(String(size));
    let received = 0;
    for await (const chunk of response.body) received += (chunk as Buffer).length;
    expect(received).toBe(size);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * block.length);
  });

  it('leaves the old file when an upload breaks off', async () => {
    const volume = await makeVolume({ name: 'broken' });
    await write(volume, 'file', 'old');
    const { hostname, port } = new URL(server.url);
    const socket = createConnection(Number(port), hostname);
    socket.write(
      `PUT /v1/volumes/${volume.id}/files/content HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${API_KEY}\r\n` +
        `x-msb-file-path: ${encode('file')}\r\ncontent-length: 1000000\r\n\r\nnew`,
    );
    await eventually(async () => (await readdir(dataOf('broken'))).length === 2);
    socket.destroy();
    await eventually(async () => (await readdir(dataOf('broken'))).length === 1);
    expect((await read(volume, 'file')).text).toBe('old');
  });

  it('says in the words of the original what is wrong', async () => {
    const volume = await makeVolume({ name: 'words' });
    await write(volume, 'folder/file', '');
    const nowhere = { id: '00000000-0000-4000-8000-000000000009' };
    const failures = [
      [read(volume, 'none'), 404, 'volume_file_not_found'],
      [file('GET', volume, '/stat', { path: 'none' }), 404, 'volume_file_not_found'],
      [file('DELETE', volume, '', { path: 'none' }), 404, 'volume_file_not_found'],
      [file('GET', nowhere, '', { path: '' }), 404, 'volume_not_found'],
      [file('PUT', nowhere, '/content', { path: 'a', body: 'x' }), 404, 'volume_not_found'],
      [read(volume, 'folder'), 409, 'invalid_volume_path'],
      [write(volume, 'folder', 'x'), 409, 'invalid_volume_path'],
      [write(volume, 'folder/file/below', 'x'), 409, 'invalid_volume_path'],
      [file('DELETE', volume, '', { path: 'folder', recursive: false }), 409, 'invalid_volume_path'],
      [file('DELETE', volume, '', { path: '/', recursive: true }), 400, 'invalid_volume_path'],
      [
        file('POST', volume, '/rename', { json: { from: 'folder', to: 'folder/in/itself' } }),
        400,
        'invalid_volume_path',
      ],
      [file('POST', volume, '/rename', { json: { from: 'folder/file', to: 'folder' } }), 409, 'invalid_volume_path'],
      [file('POST', volume, '/copy', { json: { from: 'folder', to: 'copy' } }), 409, 'invalid_volume_path'],
      [file('POST', volume, '/mkdir', { json: {} }), 400, 'invalid_volume_path'],
      [file('GET', volume, '/content'), 400, 'invalid_volume_path'],
    ] as const;
    for (const [answer, status, code] of failures) expect(await answer).toMatchObject({ status, code });
    expect(await list(volume, 'folder')).toEqual(['/folder/file']);
  });

  it('refuses the files of anybody without a key', async () => {
    const volume = await makeVolume({ name: 'closed' });
    const { statusCode } = await request(`${server.url}/v1/volumes/${volume.id}/files/exists`);
    expect(statusCode).toBe(401);
  });

  const bad = [
    '../volume.json',
    'a/../../volume.json',
    '..',
    'a\0b',
    'a//b',
    'x'.repeat(256),
    `${'d/'.repeat(200)}e`,
    `${'n/'.repeat(2048)}n`,
    Buffer.from([0x61, 0xff]),
  ];
  it.each(bad.map((path) => [JSON.stringify(String(path).slice(0, 30)), path] as const))(
    'refuses the path %s everywhere',
    async (_, path) => {
      const volume = await makeVolume({ name: 'paths' });
      const refused = { status: 400, code: 'invalid_volume_path' };
      expect(await read(volume, path)).toMatchObject(refused);
      expect(await file('PUT', volume, '/content', { path, body: 'x' })).toMatchObject(refused);
      expect(await file('GET', volume, '', { path })).toMatchObject(refused);
      expect(await file('GET', volume, '/stat', { path })).toMatchObject(refused);
      expect(await file('GET', volume, '/exists', { path })).toMatchObject(refused);
      expect(await file('DELETE', volume, '', { path, recursive: true })).toMatchObject(refused);
      if (typeof path === 'string') {
        expect(await file('POST', volume, '/mkdir', { json: { path } })).toMatchObject(refused);
        expect(await file('POST', volume, '/rename', { json: { from: 'a', to: path } })).toMatchObject({
          status: expect.toSatisfy((code) => code === 400 || code === 404),
        });
      }
      expect(await readdir(dataOf('paths'))).toEqual([]);
    },
  );

  it('neither follows nor lists what a guest put there to mislead it, and removes it', async () => {
    const volume = await makeVolume({ name: 'hostile' });
    const inside = dataOf('hostile');
    await symlink('../volume.json', join(inside, 'link'));
    await symlink('/etc', join(inside, 'folder-link'));
    execFileSync('mkfifo', [join(inside, 'pipe')]);
    const socket = createServer().listen(join(inside, 'socket'));
    onTestFinished(() => void socket.close());
    await once(socket, 'listening');
    if (isRoot) execFileSync('mknod', [join(inside, 'device'), 'c', '1', '5']);
    await writeFile(join(inside, 'line\nbreak'), 'odd');
    await writeFile(Buffer.concat([Buffer.from(`${inside}/`), Buffer.from([0xff])]), '');

    expect(await list(volume)).toEqual(['/line\nbreak', '/\ufffd']);
    expect((await read(volume, 'line\nbreak')).text).toBe('odd');
    for (const path of ['link', 'pipe', 'socket', 'folder-link/passwd', ...(isRoot ? ['device'] : [])]) {
      expect(await read(volume, path)).toMatchObject({ status: 409, code: 'invalid_volume_path' });
      expect((await file('GET', volume, '/stat', { path })).status).toBe(409);
    }
    expect((await write(volume, 'folder-link/new', 'x')).status).toBe(409);
    expect((await file('POST', volume, '/copy', { json: { from: 'link', to: 'stolen' } })).status).toBe(409);
    expect((await write(volume, 'link', 'mine')).status).toBe(204);
    expect(JSON.parse(await readFile(join(inside, '../volume.json'), 'utf8'))).toMatchObject({ id: volume.id });
    for (const path of ['folder-link', 'pipe', 'socket']) {
      expect((await file('DELETE', volume, '', { path })).status).toBe(204);
    }
    expect(await readdir('/etc')).toContain('passwd');
  });

  it('stays inside while a folder is swapped for a link out of the volume', async () => {
    const volume = await makeVolume({ name: 'swapped' });
    const inside = dataOf('swapped');
    const outside = await temporaryFolder();
    await writeFile(join(outside, 'file'), 'secret');
    await mkdir(join(inside, 'folder'));
    await writeFile(join(inside, 'folder/file'), 'mine');
    await symlink(outside, join(inside, 'other'));
    const stop = await swapForEver(join(inside, 'folder'), join(inside, 'other'));
    for (let round = 0; round < 100; round++) {
      const [got] = await Promise.all([
        read(volume, 'folder/file'),
        write(volume, 'folder/file', 'mine'),
        file('POST', volume, '/rename', { json: { from: 'folder/file', to: 'folder/file' } }),
      ]);
      expect(got.text).not.toContain('secret');
    }
    await stop();
    expect(await readdir(outside)).toEqual(['file']);
    expect(await readFile(join(outside, 'file'), 'utf8')).toBe('secret');
  });
});

describe.skipIf(!isRoot)('a capacity (only root can mount one)', () => {
  it('bounds what the files API writes, in bytes, and grows', async () => {
    const volume = await makeVolume({ name: 'capped-api', capacity_gib: 1 });
    expect(volume.capacity_bytes).toBe(GIB);
    expect((await write(volume, 'file', 'kept')).status).toBe(204);
    const { bavail, bsize } = await statfs(dataOf('capped-api'));
    const ballast = bavail * bsize - 8 * MIB;
    execFileSync('fallocate', ['-l', String(ballast), join(dataOf('capped-api'), 'ballast')]);
    const over = await write(volume, 'file', Buffer.alloc(16 * MIB));
    expect(over).toMatchObject({ status: 507, code: 'storage_full' });
    expect(over.text).not.toContain(server.folder);
    expect((await read(volume, 'file')).text).toBe('kept');
    expect((await server.call('PATCH', `/v1/volumes/${volume.id}`, { body: { capacity_gib: 2 } })).body).toMatchObject({
      capacity_bytes: 2 * GIB,
      used_bytes: expect.toSatisfy((bytes) => bytes > ballast && bytes < ballast + 2 * MIB),
    });
    expect((await write(volume, 'file', Buffer.alloc(16 * MIB))).status).toBe(204);
    const smaller = await server.call('PATCH', `/v1/volumes/${volume.id}`, { body: { capacity_gib: 1 } });
    expect(smaller).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
  });

  it('is set and taken away while the volume is empty, and refused otherwise', async () => {
    const volume = await makeVolume({ name: 'changing' });
    const patch = (gib: number | null) =>
      server.call('PATCH', `/v1/volumes/${volume.id}`, { body: { capacity_gib: gib } });
    expect((await patch(1)).body).toMatchObject({ capacity_bytes: GIB });
    await write(volume, 'file', 'kept');
    expect(await findMount(dataOf('changing'))).toBeDefined();
    expect(await patch(null)).toMatchObject({ status: 409, body: { error: { code: 'invalid_request' } } });
    await file('DELETE', volume, '', { path: 'file' });
    expect((await patch(null)).body).toMatchObject({ capacity_bytes: null });
    expect(await findMount(dataOf('changing'))).toBeUndefined();
    await write(volume, 'file', 'kept');
    expect((await patch(1)).status).toBe(409);
    expect((await read(volume, 'file')).text).toBe('kept');
  });

  it('takes its file system and loop device with it when the volume is removed', async () => {
    const volume = await makeVolume({ name: 'short-lived', capacity_gib: 1 });
    await write(volume, 'file', 'x');
    expect((await server.call('DELETE', `/v1/volumes/${volume.id}`)).status).toBe(200);
    await eventually(async () => (await listLoopDevices()).every((device) => !device.file.includes('short-lived')));
    expect((await read(volume, 'file')).code).toBe('volume_not_found');
    await eventually(
      async () => !(await readdir(join(server.folder, 'volumes', ORG))).some((name) => name.startsWith('.gone')),
    );
  });
});

describe('VolumeStore', () => {
  async function freshStore(root?: string): Promise<{ store: VolumeStore; root: string }> {
    const folder = root ?? (await temporaryFolder());
    const store = new VolumeStore(folder);
    onTestFinished(async () => {
      await store.close();
      await reapCapacityMounts(folder);
    });
    return { store, root: folder };
  }

  it('keeps the volumes of organisations apart, also those of one name', async () => {
    const { store } = await freshStore();
    const mine = await store.create('org-a', { name: 'same', labels: {} });
    const theirs = await store.create('org-b', { name: 'same', labels: {} });
    expect((await store.list('org-a')).map(({ id }) => id)).toEqual([mine.id]);
    await expect(store.get('org-a', theirs.id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.filesOf('org-a', theirs.id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.remove('org-a', theirs.id)).rejects.toMatchObject({ code: 'not_found' });
    expect((await store.pathOf('org-a', 'same')).path).not.toBe((await store.pathOf('org-b', 'same')).path);
    await expect(store.list('../org-a')).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.pathOf('org-a', '../org-b/same')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('refuses to remove or limit a volume while a sandbox uses it', async () => {
    const { store } = await freshStore();
    const { id } = await store.create('org', { name: 'used', labels: {} });
    const [first, second] = [store.use('org', 'used'), store.use('org', 'used')];
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    const inUse = { code: 'invalid_state', message: expect.stringMatching(/in use by a sandbox/) };
    await expect(store.remove('org', id)).rejects.toMatchObject(inUse);
    await expect(store.update('org', id, { capacity_gib: 1 })).rejects.toMatchObject(inUse);
    expect(await store.update('org', id, { labels: { a: 'b' } })).toMatchObject({ labels: { a: 'b' } });
    second[Symbol.dispose]();
    await store.remove('org', id);
    expect(await store.list('org')).toEqual([]);
  });

  it('ends a removal that was cut off', async () => {
    const { store, root } = await freshStore();
    await mkdir(join(root, 'org/.gone-1/data/a/b'), { recursive: true });
    await store.recover();
    await store.close();
    expect(await readdir(join(root, 'org'))).toEqual([]);
  });

  it.skipIf(!isRoot)(
    'finds its volumes again after it was killed while one was mounted (only root can mount)',
    async () => {
      const root = await temporaryFolder();
      const holder = spawn(process.execPath, [HOLDER, root], { stdio: ['ignore', 'pipe', 'inherit'] });
      onTestFinished(() => void holder.kill('SIGKILL'));
      await once(holder.stdout, 'data');
      const { store } = await freshStore(root);
      const data = join(root, 'org/mounted/data');
      await store.recover();
      expect(await findMount(data)).toBeDefined();
      holder.kill('SIGKILL');
      await once(holder, 'exit');
      expect(await findMount(data)).toBeDefined();
      const [volume] = await store.list('org');
      const files = await store.filesOf('org', String(volume?.id));
      expect(String(await files.readFile('file', { maxBytes: 100 }))).toBe('kept');
      expect((await listLoopDevices()).filter((device) => device.file.startsWith(root))).toHaveLength(1);
      await store.close();
      expect(await findMount(data)).toBeUndefined();
      expect((await listLoopDevices()).filter((device) => device.file.startsWith(root))).toEqual([]);
    },
  );
});
