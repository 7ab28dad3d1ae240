import { execFileSync } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { request as rawRequest } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiCall, type ApiServer, openApiServer } from '../../support/api-server.ts';
import { tempFolder } from '../../support/temp-folder.ts';

let api: ApiServer;
const BASE = '/customers/ann';
const FILE = `${BASE}/files/data/a%20b.csv`;
const hostPath = (path: string) => join(api.folder, 'workspaces/ann/files', path);
const put = (path: string, body: string | Uint8Array, headers: Record<string, string> = {}) =>
  api.call('PUT', `${BASE}/files/${path}`, { body, headers });
const get = (headers: Record<string, string>, method = 'GET') => api.call(method, FILE, { headers });

beforeAll(async () => {
  api = await openApiServer({
    driver: 'quiet',
    workspace: { maxFile: '100K', maxArchive: '64M', maxArchiveFiles: 10 },
  });
});
afterAll(async () => api[Symbol.asyncDispose]());

describe('a file', () => {
  it('is made, replaced and read, as an attachment that no browser runs', async () => {
    expect(await api.call('GET', `${BASE}/files`)).toMatchObject({ status: 404 });
    const made = await put('data/a%20b.csv', 'old');
    expect(made).toMatchObject({ status: 201, body: { path: 'data/a b.csv', kind: 'file', size: 3 } });
    const replaced = await put('data/a%20b.csv', '0123456789');
    expect(replaced).toMatchObject({ status: 200, body: { size: 10 } });
    expect(replaced.headers.etag).not.toBe(made.headers.etag);
    const read = await get({ accept: 'text/csv' });
    expect(read).toMatchObject({ status: 200, text: '0123456789' });
    expect(read.headers).toMatchObject({
      etag: replaced.headers.etag,
      'content-type': 'text/csv; charset=utf-8',
      'content-length': '10',
      'content-disposition': "attachment; filename*=UTF-8''a%20b.csv",
      'x-content-type-options': 'nosniff',
      'content-security-policy': "sandbox; default-src 'none'",
      'accept-ranges': 'bytes',
    });
    const { 'content-type': type, 'content-length': length, etag } = read.headers;
    const head = { 'content-type': type, 'content-length': length, etag };
    expect(await get({}, 'HEAD')).toMatchObject({ status: 200, text: '', headers: head });
    expect(await get({ range: 'bytes=2-3' }, 'HEAD')).toMatchObject({ status: 200, text: '', headers: head });
    expect(await put('empty', '')).toMatchObject({ status: 201, body: { size: 0 } });
    expect(await api.call('GET', `${BASE}/files/empty`)).toMatchObject({ status: 200, text: '' });
    expect(await api.call('PUT', `${BASE}/files/none`)).toMatchObject({ status: 201, body: { size: 0 } });
    await put('page.html', '<script>alert(1)</script>');
    const page = await api.call('GET', `${BASE}/files/page.html`);
    expect(page.headers['content-type']).toBe('text/plain; charset=utf-8');
  });

  it.each([
    ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=9-99', 206, '9', 'bytes 9-9/10'],
    ['bytes=10-', 416, undefined, 'bytes */10'],
    ['bytes=-0', 416, undefined, 'bytes */10'],
    ['bytes=0-1,3-4', 200, '0123456789', undefined],
    ['bytes=4-2', 200, '0123456789', undefined],
    ['lines=1-2', 200, '0123456789', undefined],
  ])('answers the range %s with %i', async (range, status, text, told) => {
    const answer = await get({ range });
    expect([answer.status, answer.headers['content-range']]).toEqual([status, told]);
    if (text !== undefined) expect(answer.text).toBe(text);
    else expect(answer.body).toMatchObject({ status, code: 'invalid_argument' });
  });

  it('keeps conditions: 304, 412 and ranges of what has not changed', async () => {
    const { etag = '' } = (await get({})).headers;
    expect(await get({ 'if-none-match': `"x", W/${etag}` })).toMatchObject({
      status: 304,
      text: '',
      headers: { etag },
    });
    expect(await get({ 'if-none-match': etag }, 'HEAD')).toMatchObject({ status: 304 });
    expect(await get({ 'if-match': `"a,b" , ${etag}` })).toMatchObject({ status: 200 });
    for (const none of ['', '"x', '"x" "y"']) expect((await get({ 'if-match': none })).status).toBe(400);
    expect(await get({ 'if-none-match': '"x"' })).toMatchObject({ status: 200 });
    expect(await get({ 'if-match': '"x"' })).toMatchObject({ status: 412, body: { code: 'precondition_failed' } });
    expect(await get({ 'if-match': 'x' })).toMatchObject({ status: 400 });
    expect(await get({ range: 'bytes=0-1', 'if-range': etag })).toMatchObject({ status: 206 });
    expect(await get({ range: 'bytes=0-1', 'if-range': '"x"' })).toMatchObject({ status: 200 });
    expect(await put('data/a%20b.csv', 'x', { 'if-match': '"x"' })).toMatchObject({ status: 412 });
    expect(await put('data/a%20b.csv', 'x', { 'if-none-match': '*' })).toMatchObject({ status: 412 });
    const next = await put('data/a%20b.csv', 'next', { 'if-match': etag });
    expect(next).toMatchObject({ status: 200 });
    expect(await put('data/a%20b.csv', 'late', { 'if-match': etag })).toMatchObject({ status: 412 });
    const remove = (ifMatch: string) => api.call('DELETE', FILE, { headers: { 'if-match': ifMatch } });
    expect(await remove(etag)).toMatchObject({ status: 412 });
    expect(await remove(next.headers.etag ?? '')).toMatchObject({ status: 204 });
    expect(await get({})).toMatchObject({ status: 404 });
  });

  it('may be as large as allowed, and not larger, whether its length is told or not', async () => {
    expect(await put('big', Buffer.alloc(102_400))).toMatchObject({ status: 201 });
    expect(await put('big', Buffer.alloc(102_401))).toMatchObject({ status: 413 });
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { authorization: `Bearer ${api.key}`, 'content-type': 'text/plain' };
      const sent = rawRequest(`${api.url}${BASE}/files/big`, { method: 'PUT', headers }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      sent.on('error', reject);
      sent.write(Buffer.alloc(60_000));
      sent.end(Buffer.alloc(60_000, 1));
    });
    expect(status).toBe(413);
    expect((await api.call('HEAD', `${BASE}/files/big`)).headers['content-length']).toBe('102400');
  });

  it('behind a link is not read, written or listed', async () => {
    await mkdir(hostPath('near'), { recursive: true });
    await writeFile(hostPath('near/f'), 'f');
    await symlink('/etc', hostPath('far'));
    await symlink('near', hostPath('link'));
    for (const path of ['far/passwd', 'link/f', 'link', 'near'])
      expect(await api.call('GET', `${BASE}/files/${path}`)).toMatchObject({ status: 409 });
    expect(await put('far/x', 'x')).toMatchObject({ status: 409 });
    for (const path of ['..%2Fsecret', 'a%2F..%2Fb', '%2Fetc%2F%2Fpasswd'])
      expect((await api.call('GET', `${BASE}/files/${path}`)).status).toBe(400);
    expect(await api.call('DELETE', `${BASE}/files/near`)).toMatchObject({ status: 409 });
    expect(await api.call('DELETE', `${BASE}/files/near?recursive=true`)).toMatchObject({ status: 204 });
  });
});

describe('files together', () => {
  it('are listed in pages', async () => {
    const post = (body: unknown): Promise<unknown> => api.call('POST', `${BASE}/files`, { body });
    await put('list/b/deep', 'x');
    await put('list/c', 'x');
    expect(await post({ folder: 'list/a' })).toMatchObject({ status: 200, body: { kind: 'folder' } });
    expect(await post({ from: 'list/c', to: 'list/d' })).toMatchObject({ status: 200, body: { path: 'list/d' } });
    expect(await post({ from: 'list/b/deep', to: 'list/d' })).toMatchObject({ status: 412 });
    const paths: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query = `path=list&recursive=true&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const { body } = await api.call('GET', `${BASE}/files?${query}`);
      const page = body as { items: { path: string }[]; nextCursor: string | null };
      paths.push(...page.items.map(({ path }) => path));
      cursor = page.nextCursor;
    }
    expect(paths).toEqual(['list/a', 'list/b', 'list/b/deep', 'list/d']);
  });

  it('travel as archives that tar reads and writes', async () => {
    await using folder = await tempFolder();
    await writeFile(join(folder.path, 'one'), 'one');
    await mkdir(join(folder.path, 'sub'));
    await writeFile(join(folder.path, 'sub/two'), 'two');
    const send = (body: Buffer, extra: Partial<ApiCall> = {}) =>
      api.call('POST', `${BASE}/archive?path=up`, { body, headers: { 'content-type': 'application/gzip' }, ...extra });
    const gzip = execFileSync('tar', ['-cz', '-C', folder.path, '.']);
    expect(await send(gzip)).toMatchObject({ status: 200, body: { files: 2, skipped: [] } });
    expect(await readFile(hostPath('up/sub/two'), 'utf8')).toBe('two');
    const answer = await fetch(`${api.url}${BASE}/archive?path=up`, {
      headers: { authorization: `Bearer ${api.key}` },
    });
    const { status, headers, text } = await api.call('HEAD', `${BASE}/archive?path=up`);
    expect([status, headers['content-type'], headers['content-length'], text]).toEqual([
      200,
      'application/x-tar',
      undefined,
      '',
    ]);
    const listed = execFileSync('tar', ['-t'], { input: Buffer.from(await answer.arrayBuffer()) }).toString();
    expect(listed.split('\n').sort()).toEqual(['', 'one', 'sub/', 'sub/two']);
    expect(await send(Buffer.from('no archive'))).toMatchObject({ status: 400, body: { code: 'invalid_argument' } });
    // Larger than what waits in buffers: who sends still hears why it was refused.
    const large = await send(Buffer.alloc(20_000_000, 'x'));
    expect(large).toMatchObject({ status: 400, body: { code: 'invalid_argument' } });
    expect(await send(gzip, { headers: { 'content-type': 'text/plain' } })).toMatchObject({ status: 415 });
    const many = execFileSync('sh', ['-c', 'for i in 1 2 3 4 5 6 7 8 9 10; do echo x > $i; done; tar -cz .'], {
      cwd: folder.path,
    });
    expect(await send(many)).toMatchObject({ status: 400, body: { detail: expect.stringContaining('10 entries') } });
  });
});
