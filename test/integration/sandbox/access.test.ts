import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { SCOPES } from '../../../src/core/principal.ts';
import { encodeFrame, MAX_FRAME_BYTES } from '../../../src/protocol/agent-frames.ts';
import type { NewKey } from '../../../src/sandbox/new-key.ts';
import { eventually } from '../../support/processes.ts';
import { openQuietServer, type QuietServer } from '../../support/quiet-server.ts';
import { API_KEY, sandboxSpec } from '../../support/sandbox-server.ts';

const BODY_BYTES = 4096;
const HEADER_BYTES = 4096;
const URL_CHARS = 1024;
const MESSAGE_BYTES = 2 * MAX_FRAME_BYTES;
const FRAGMENTS = 16;

let server: QuietServer;
let sandbox: string;

beforeAll(async () => {
  server = await openQuietServer({
    hosts: ['Box.Example'],
    limits: {
      bodyBytes: BODY_BYTES,
      headerBytes: HEADER_BYTES,
      urlChars: URL_CHARS,
      headersTimeoutMs: 500,
      bodyTimeoutMs: 500,
      bodyBytesPerSecond: 1_000_000,
      messageFragments: FRAGMENTS,
    },
  });
  sandbox = await server.start('open');
});
afterAll(() => server[Symbol.asyncDispose]());

const refusal = (code: string) => ({ error: { code, message: expect.any(String), details: null } });
const authorization = `Authorization: Bearer ${API_KEY}`;

/** A connection, and all that comes back on it until it is closed. */
function dial(port = server.port): { socket: Socket; answer: Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
  });
  socket.on('error', () => {});
  return { socket, answer: once(socket, 'close').then(() => text) };
}

/** One request as it is on the wire; the status of its answer and its text. */
async function raw(lines: readonly string[], body = '', port = server.port) {
  const { socket, answer } = dial(port);
  socket.write(`${[...lines, 'Connection: close'].join('\r\n')}\r\n\r\n${body}`);
  const text = await answer;
  return { status: Number(text.split(' ')[1]), text };
}

const get = (...headers: string[]) => raw(['GET /v1/sandboxes HTTP/1.1', authorization, ...headers]);

async function openSocket(key = API_KEY, headers: Record<string, string> = {}): Promise<WebSocket> {
  const address = `${server.url.replace('http', 'ws')}/v1/sandboxes/${sandbox}/agent`;
  const socket = new WebSocket(address, { headers: { authorization: `Bearer ${key}`, ...headers } });
  onTestFinished(() => socket.terminate());
  await once(socket, 'open');
  return socket;
}

const closeOf = async (socket: WebSocket) => (await once(socket, 'close'))[0] as number;

describe('a key', () => {
  it('is needed everywhere, also where nothing is', async () => {
    for (const path of ['/v1/sandboxes', '/v1/volumes', `/v1/sandboxes/${sandbox}/agent`, '/nowhere']) {
      expect((await raw([`GET ${path} HTTP/1.1`, 'Host: localhost'])).status).toBe(401);
    }
    expect((await server.call('GET', '/v1/sandboxes', { key: null })).body).toEqual(refusal('invalid_api_key'));
    expect(await raw(['GET /v1/% HTTP/1.1', 'Host: localhost'])).toMatchObject({
      status: 400,
      text: expect.stringContaining('"invalid_request"'),
    });
    await expect(openSocket('msb_wrong')).rejects.toThrow(/401/);
  });

  it.each(['msb_of-the-test', 'Basic msb_of-the-test', 'Bearer', 'Bearer a b', 'Bearer msb_of-the-test x'])(
    'is not taken from "Authorization: %s"',
    async (value) => {
      expect((await raw(['GET /v1/sandboxes HTTP/1.1', 'Host: localhost', `Authorization: ${value}`])).status).toBe(
        401,
      );
    },
  );

  it('of a store is good as soon as it is made, and for nothing as soon as it is revoked', async () => {
    const { secret, key } = await server.store.create({ name: 'brief', role: 'administrator' });
    const call = () => server.call('GET', '/v1/sandboxes', { key: secret.reveal() });
    expect((await call()).status).toBe(200);
    await server.store.revoke(key.id);
    expect(await call()).toEqual({ status: 401, body: refusal('invalid_api_key') });
  });

  it('that is revoked loses its agent connections, and no other key does', async () => {
    const { secret, key } = await server.store.create({ name: 'open', role: 'administrator' });
    const mine = await openSocket(secret.reveal());
    const other = await openSocket();
    const closed = closeOf(mine);
    await server.store.revoke(key.id);
    expect(await closed).toBe(1006);
    expect(other.readyState).toBe(WebSocket.OPEN);
  });

  it('that expires loses its agent connections', async () => {
    const { secret } = await server.store.create({ name: 'brief', role: 'administrator', expiresInMs: 1000 });
    expect(await closeOf(await openSocket(secret.reveal()))).toBe(1006);
  });
});

describe('the sandbox API', () => {
  const paths = ['/v1/sandboxes', '/v1/volumes', '/v1/volumes/default', '/v1/quotas', '/v1/events', '/v1/me/org'];
  const status = async (wanted: NewKey) => {
    const key = (await server.store.create(wanted)).secret.reveal();
    const rpc = await server.call('POST', '/api/v1/rpc', {
      key,
      body: { jsonrpc: '2.0', method: 'sandbox.metrics.get', params: { sandbox: null, namespace: '*' }, id: 1 },
    });
    const answers = await Promise.all(paths.map((path) => server.call('GET', path, { key })));
    return { answers, rpc, key };
  };

  it('refuses keys of customers everywhere, in the words of each API', async () => {
    const wanted = { name: 'c', role: 'customer', customer: 'acme.ann', scopes: SCOPES } as const;
    const { answers, rpc, key } = await status(wanted);
    for (const answer of answers) expect(answer).toMatchObject({ status: 403, body: { error: { code: 'forbidden' } } });
    await expect(openSocket(key)).rejects.toThrow(/403/);
    expect(rpc).toMatchObject({ status: 403, body: { jsonrpc: '2.0', error: { data: { reason: 'forbidden' } } } });
  });

  it.each(['read', 'execute', 'files'] as const)('refuses keys without the scope %s', async (left) => {
    const scopes = SCOPES.filter((scope) => scope !== left);
    const { answers, rpc } = await status({ name: 'o', role: 'organisation', scopes });
    for (const answer of [...answers, rpc]) expect(answer.status).toBe(403);
  });

  it('takes others, and lets only an administrator with all scopes mount folders of the host', async () => {
    const scopes = ['read', 'execute', 'files'] as const;
    const { answers, rpc } = await status({ name: 'o', role: 'organisation', scopes });
    for (const answer of [...answers, rpc]) expect(answer.status).toBe(200);
    const mounts = [{ type: 'bind', host: join(server.folder, 'shared'), guest: '/x' }];
    await mkdir(join(server.folder, 'shared'));
    const mount = async (name: string, options: Partial<NewKey>) => {
      const { secret } = await server.store.create({ name, role: 'administrator', ...options });
      const body = { ...sandboxSpec(name), mounts };
      return (await server.call('POST', '/v1/sandboxes', { key: secret.reveal(), body })).status;
    };
    expect(await mount('some-scopes', { scopes })).toBe(403);
    expect(await mount('organisation', { role: 'organisation' })).toBe(403);
    expect(await mount('all-scopes', {})).toBe(200);
  });
});

describe('too many', () => {
  const request = (port: number, path: string, key: string) =>
    raw([`POST ${path} HTTP/1.1`, 'Host: localhost', `Authorization: Bearer ${key}`, 'Content-Length: 0'], '', port);

  it('wrong keys from one address are not looked at any more, and good ones are', async () => {
    await using small = await openQuietServer({ limits: { failedKeysPerMinute: 3 } });
    const { secret } = await small.store.create({ name: 'good', role: 'organisation' });
    expect((await small.call('GET', '/v1/sandboxes', { key: secret.reveal() })).status).toBe(200);
    for (let n = 0; n < 3; n++) expect((await request(small.port, '/v1/sandboxes', 'msb_wrong')).status).toBe(401);
    const { secret: late } = await small.store.create({ name: 'late', role: 'organisation' });
    for (const [path, body] of [
      ['/v1/sandboxes', /"rate_limited"/],
      ['/api/v1/rpc', /"quota_exceeded"/],
      ['/customers', /"quota_exceeded"/],
    ] as const) {
      const { status, text } = await request(small.port, path, late.reveal());
      expect({ path, status, text }).toMatchObject({ status: 429, text: expect.stringMatching(body) });
      expect(text).toMatch(/^retry-after: (1\d|20)\r$/im);
    }
    expect((await small.call('GET', '/v1/sandboxes', { key: secret.reveal() })).status).toBe(200);
  });

  it('requests of one key are refused, and those of others are not', async () => {
    await using small = await openQuietServer({ limits: { requestsPerSecond: 1 } });
    const [one, two] = [
      (await small.store.create({ name: 'one', role: 'organisation' })).secret.reveal(),
      (await small.store.create({ name: 'two', role: 'organisation' })).secret.reveal(),
    ];
    const get = (key: string) => small.call('GET', '/v1/sandboxes', { key });
    const statuses = (await Promise.all(Array.from({ length: 20 }, () => get(one)))).map(({ status }) => status);
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(1);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(2);
    expect((await get(two)).status).toBe(200);
    for (let n = 0; n < 10; n++) expect((await small.call('GET', '/v1/sandboxes')).status).toBe(200);
  });
});

describe('the folder of the keys', () => {
  it('is shown to no guest: neither it, nor what is in it, nor what holds it', async () => {
    await server.store.create({ name: 'x', role: 'organisation' });
    await mkdir(join(server.folder, '.server/below'), { recursive: true });
    await mkdir(join(server.folder, '.server-not'), { recursive: true });
    const mount = async (path: string) => {
      const mounts = [{ type: 'bind', host: join(server.folder, path), guest: '/x' }];
      return (await server.call('POST', '/v1/sandboxes', { body: { ...sandboxSpec(`m${path.length}`), mounts } }))
        .status;
    };
    for (const path of ['.server', '.server/below', '.server/keys.json', '.', '.server-not/../.server'])
      expect(await mount(path), path).toBe(400);
    expect(await mount('.server-not')).toBe(200);
  });
});

describe('a web page', () => {
  it('gets nothing through a name that is not the server’s', async () => {
    expect((await get('Host: localhost')).status).toBe(200);
    expect((await get(`Host: 127.0.0.1:${server.port}`)).status).toBe(200);
    expect((await get('Host: box.example')).status).toBe(200);
    for (const host of ['evil.example', `evil.example:${server.port}`, '127.0.0.2', 'localhost.evil.example']) {
      expect(await get(`Host: ${host}`)).toMatchObject({ status: 403, text: expect.stringContaining('"forbidden"') });
    }
    expect((await get()).status).toBe(400);
    expect((await get('Host: localhost', 'Host: evil.example')).status).toBe(403);
    expect((await raw(['GET /v1/sandboxes HTTP/1.0', authorization])).status).toBe(403);
    expect(
      (await raw(['GET http://evil.example/v1/sandboxes HTTP/1.1', authorization, 'Host: evil.example'])).status,
    ).toBe(403);
  });

  it('of another origin gets nothing, whatever key its browser holds', async () => {
    for (const origin of ['https://evil.example', 'null', 'http://localhost:3000', '']) {
      expect((await get('Host: localhost', `Origin: ${origin}`)).status).toBe(403);
    }
    expect((await get('Host: localhost', 'Origin: http://localhost')).status).toBe(200);
    expect((await get('Host: localhost', 'Origin: https://box.example')).status).toBe(200);
    await expect(openSocket(API_KEY, { origin: 'https://evil.example' })).rejects.toThrow(/403/);
    await expect(openSocket(API_KEY, { host: 'evil.example' })).rejects.toThrow(/403/);
    expect((await openSocket(API_KEY, { origin: server.url })).readyState).toBe(WebSocket.OPEN);
  });

  it('may read no answer: there are no CORS headers, and no preflight succeeds', async () => {
    const preflight = ['Host: localhost', 'Origin: http://localhost', 'Access-Control-Request-Method: POST'];
    const answers = [
      await raw(['OPTIONS /v1/sandboxes HTTP/1.1', ...preflight]),
      await raw(['OPTIONS * HTTP/1.1', ...preflight, authorization]),
      await raw(['OPTIONS /v1/sandboxes HTTP/1.1', 'Host: localhost', authorization]),
      await get('Host: localhost', 'Origin: http://localhost'),
    ];
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 200]);
    for (const { text } of answers) expect(text).not.toMatch(/access-control/i);
  });
});

describe('a request that is too long', () => {
  const post = (bytes: number) => server.call('POST', '/v1/sandboxes', { body: `{"pad":"${'x'.repeat(bytes - 10)}"}` });

  it.each([
    [BODY_BYTES - 1, /name/],
    [BODY_BYTES, /name/],
    [BODY_BYTES + 1, /too large/],
  ])('is refused for its body: %i bytes', async (bytes, message) => {
    expect(await post(bytes)).toMatchObject({
      status: expect.toSatisfy((status) => status === 400 || status === 413),
      body: { error: { code: 'invalid_request', message: expect.stringMatching(message) } },
    });
  });

  it.each([
    [URL_CHARS - 1, 200],
    [URL_CHARS, 200],
    [URL_CHARS + 1, 400],
  ])('is refused for its URL: %i characters', async (length, status) => {
    const path = '/v1/sandboxes?x=';
    expect(await server.call('GET', path + 'y'.repeat(length - path.length))).toMatchObject({ status });
  });

  it.each([
    [HEADER_BYTES - 512, 200],
    [HEADER_BYTES + 512, 431],
  ])('is refused for its headers: about %i bytes', async (bytes, status) => {
    const answer = await get('Host: localhost', `X-Pad: ${'x'.repeat(bytes - 200)}`);
    expect(answer.status).toBe(status);
    if (status === 431) expect(JSON.parse(answer.text.split('\r\n\r\n')[1] ?? '')).toEqual(refusal('invalid_request'));
  });
});

describe('a request that is too slow', () => {
  it('is refused when its headers do not come', async () => {
    const { socket, answer } = dial();
    socket.write('GET /v1/sandboxes HTTP/1.1\r\nHost: localhost\r\n');
    expect(await answer).toMatch(/^HTTP\/1.1 408 /);
  });

  it.each([
    ['a body of known length', 'Content-Length: 100'],
    ['a body in chunks', 'Transfer-Encoding: chunked'],
  ])('loses its connection when %s does not come', async (_what, header) => {
    const { socket, answer } = dial();
    const head = [
      'POST /v1/sandboxes HTTP/1.1',
      'Host: localhost',
      authorization,
      'Content-Type: application/json',
      header,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    expect(await answer).toBe('');
  });

  it('loses its connection also when its body is not wanted', async () => {
    const { socket, answer } = dial();
    socket.write('POST /v1/sandboxes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n');
    expect(await answer).toMatch(/^HTTP\/1.1 401 /);
  });

  it('is served when it comes in pieces, in time', async () => {
    const { socket, answer } = dial();
    const head = ['POST /v1/sandboxes HTTP/1.1', 'Host: localhost', authorization, 'Connection: close'];
    socket.write(`${head.join('\r\n')}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n`);
    socket.write('{');
    await new Promise(setImmediate);
    socket.write('}');
    expect(await answer).toMatch(/^HTTP\/1.1 400 .*invalid_request/s);
  });
});

it('more connections than the limit are closed, and served again when there is room', async () => {
  await using small = await openQuietServer({ limits: { connections: 2 } });
  const request = ['GET /v1/sandboxes HTTP/1.1', 'Host: localhost', authorization];
  const held = [dial(small.port), dial(small.port)];
  for (const { socket } of held) await once(socket, 'connect');
  // Both are taken by the server before a third one comes: it has answered on them.
  for (const { socket } of held) {
    socket.write(`${request.join('\r\n')}\r\n\r\n`);
    await once(socket, 'data');
  }
  expect((await raw(request, '', small.port)).text).toBe('');
  held[0]?.socket.destroy();
  await eventually(async () => (await raw(request, '', small.port)).status === 200);
});

describe('a WebSocket message', () => {
  const frame = (bytes: number) => encodeFrame({ id: 1, flags: 0, body: new Uint8Array(bytes - 9) });
  const ping = async (socket: WebSocket) => {
    socket.ping();
    await once(socket, 'pong');
    return socket.readyState;
  };

  it('is as long as the limit, and not longer', async () => {
    const socket = await openSocket();
    const half = frame(MESSAGE_BYTES / 2);
    socket.send(Buffer.concat([half, half]));
    expect(await ping(socket)).toBe(WebSocket.OPEN);
    const closed = closeOf(socket);
    socket.send(Buffer.alloc(MESSAGE_BYTES + 1));
    expect(await closed).toBe(1009);
  });

  it('may hold a frame of the largest size, and not one byte more', async () => {
    const socket = await openSocket();
    socket.send(frame(MAX_FRAME_BYTES + 4));
    expect(await ping(socket)).toBe(WebSocket.OPEN);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(MAX_FRAME_BYTES + 1);
    const closed = closeOf(socket);
    socket.send(header);
    await closed;
  });

  it('is in as many fragments as the limit, and not in more', async () => {
    const socket = await openSocket();
    const send = (fragments: number) => {
      for (let n = 1; n <= fragments; n++) socket.send(Buffer.alloc(0), { fin: n === fragments });
    };
    send(FRAGMENTS);
    expect(await ping(socket)).toBe(WebSocket.OPEN);
    const closed = closeOf(socket);
    send(FRAGMENTS + 1);
    expect(await closed).toBe(1008);
  });
});

describe('JSON', () => {
  it.each([
    '{"__proto__":{"polluted":1}}',
    '{"constructor":{"prototype":{"polluted":1}}}',
    '{"name":"p","image":{"type":"oci","reference":"host"},"labels":{"__proto__":"polluted"}}',
    '{"name":"p","image":{"type":"oci","reference":"host"},"runtime":{"scripts":{"__proto__":"polluted"}}}',
  ])('cannot reach a prototype: %s', async (body) => {
    expect((await server.call('POST', '/v1/sandboxes', { body })).status).toBe(400);
    const labels = encodeURIComponent('{"__proto__":{"polluted":1}}');
    expect((await server.call('GET', `/v1/sandboxes?labels=${labels}&__proto__=1`)).status).toBeLessThan(500);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});
