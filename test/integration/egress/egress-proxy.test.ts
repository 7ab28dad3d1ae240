import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { fetch, ProxyAgent } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type NetworkPolicy, parseAllowList } from '../../../src/core/network-policy.ts';
import { forwardEgress } from '../../../src/guest/egress/forwarder.ts';
import { WINDOW_BYTES } from '../../../src/protocol/stream-mux.ts';
import { type EgressDenied, serveEgress } from '../../../src/sandbox/egress/egress-proxy.ts';
import { freePort } from '../../support/mcp-servers.ts';
import { eventually } from '../../support/processes.ts';

// The guest's half and the host's half over a real socket; what they reach are real servers on the loopback.
const BODY = randomBytes(3_000_000);

let web: Server;
let webPort: number;
let stack: AsyncDisposableStack;
let denied: EgressDenied[];

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  denied = [];
  web = createServer((request, response) => {
    const hash = createHash('sha256');
    request.on('data', (chunk) => hash.update(chunk));
    request.on('end', () => {
      response.setHeader('x-seen', `${request.method} ${request.url} ${request.headers.host} ${hash.digest('hex')}`);
      response.end(request.url === '/big' ? BODY : 'hello');
    });
  });
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  webPort = (web.address() as AddressInfo).port;
  stack.defer(() => void web.closeAllConnections());
  stack.defer(() => void web.close());
});

afterEach(() => stack.disposeAsync());

/** A guest's proxy under these policies; gives the port on the "guest's" loopback. */
async function proxyFor(...policies: NetworkPolicy[]): Promise<{ port: number; host: Socket }> {
  const sockets = createTcpServer().listen(0, '127.0.0.1');
  await once(sockets, 'listening');
  const guest = connect((sockets.address() as AddressInfo).port, '127.0.0.1');
  const [host] = (await once(sockets, 'connection')) as [Socket];
  sockets.close();
  stack.defer(() => void guest.destroy());
  stack.defer(() => void host.destroy());
  serveEgress(host, { policies, onDenied: (each) => denied.push(each) });
  const port = await freePort();
  await forwardEgress(guest, port);
  return { port, host };
}

function through(port: number, tunnel: boolean): ProxyAgent {
  const agent = new ProxyAgent({ uri: `http://127.0.0.1:${port}`, proxyTunnel: tunnel });
  stack.defer(() => agent.destroy());
  return agent;
}

const inside = () => parseAllowList([`127.0.0.1:${webPort}`]);

describe.each([
  ['CONNECT', true],
  ['plain HTTP', false],
])('through the proxy by %s', (_name, tunnel) => {
  it('a guest reaches what is allowed, and large bodies arrive whole both ways', async () => {
    const { port } = await proxyFor(inside());
    const answer = await fetch(`http://127.0.0.1:${webPort}/big`, {
      method: 'POST',
      body: BODY,
      dispatcher: through(port, tunnel),
    });
    expect(Buffer.from(await answer.arrayBuffer()).equals(BODY)).toBe(true);
    const sum = createHash('sha256').update(BODY).digest('hex');
    expect(answer.headers.get('x-seen')).toBe(`POST /big 127.0.0.1:${webPort} ${sum}`);
    expect(denied).toEqual([]);
  });

  it('a guest does not reach another port', async () => {
    const { port } = await proxyFor(inside());
    const outcome = await fetch(`http://127.0.0.1:${webPort + 1}/`, { dispatcher: through(port, tunnel) }).then(
      ({ status }) => status,
      () => 'refused',
    );
    expect(outcome).toBe(tunnel ? 'refused' : 403);
    expect(denied).toEqual([{ host: '127.0.0.1', port: webPort + 1, reason: expect.stringContaining('no rule') }]);
  });

  it('a name that leads inside is refused even when the name is allowed', async () => {
    const { port } = await proxyFor(parseAllowList([`localhost:${webPort}`]));
    await fetch(`http://localhost:${webPort}/`, { dispatcher: through(port, tunnel) }).catch(() => {});
    expect(denied).toMatchObject([{ host: 'localhost', port: webPort }]);
  });

  it('a name that leads inside is reached when its address is named too', async () => {
    const { port } = await proxyFor(parseAllowList([`localhost:${webPort}`, `127.0.0.0/8:${webPort}`]));
    const answer = await fetch(`http://localhost:${webPort}/`, { dispatcher: through(port, tunnel) });
    expect(await answer.text()).toBe('hello');
  });

  it('every policy must allow a connection', async () => {
    const { port } = await proxyFor(inside(), { defaultEgress: 'allow', rules: [] });
    await fetch(`http://127.0.0.1:${webPort}/`, { dispatcher: through(port, tunnel) }).catch(() => {});
    expect(denied).toHaveLength(1);
  });
});

it('a request that names one host and carries another in its header goes to the one that was judged', async () => {
  const { port } = await proxyFor(inside());
  const socket = connect(port, '127.0.0.1');
  socket.write(`GET http://127.0.0.1:${webPort}/a HTTP/1.1\r\nHost: elsewhere.test\r\nConnection: close\r\n\r\n`);
  const text = (await socket.toArray()).join('');
  expect(text).toContain(`x-seen: GET /a 127.0.0.1:${webPort}`);
});

it('a body in chunks stays a body, also of a method that rarely has one', async () => {
  const { port } = await proxyFor(inside());
  const socket = connect(port, '127.0.0.1');
  const head = `DELETE http://127.0.0.1:${webPort}/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked`;
  socket.write(`${head}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`);
  const sum = createHash('sha256').update('hello').digest('hex');
  expect((await socket.toArray()).join('')).toContain(`x-seen: DELETE /a 127.0.0.1:${webPort} ${sum}`);
});

it('a refusal says what the policy does not allow', async () => {
  const { port } = await proxyFor(inside());
  const socket = connect(port, '127.0.0.1');
  socket.write('CONNECT example.test:443 HTTP/1.1\r\n\r\n');
  expect((await socket.toArray()).join('')).toMatch(
    /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*does not allow example\.test:443: no rule allows this name and port\n$/,
  );
});

it.each(['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n'])(
  'what is no request to a proxy is refused: %j',
  async (bytes) => {
    const { port } = await proxyFor(inside());
    const socket = connect(port, '127.0.0.1');
    socket.end(bytes);
    expect((await socket.toArray()).join('')).toMatch(/^HTTP\/1\.1 400 /);
  },
);

it.each(['\0\0\0\0', 'nonsense\r\n\r\n', `GET http://a/ HTTP/1.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`])(
  'nonsense ends its own connection and no other: %#',
  async (bytes) => {
    const { port } = await proxyFor(inside());
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.end(bytes);
    socket.resume();
    await once(socket, 'close');
    const answer = await fetch(`http://127.0.0.1:${webPort}/`, { dispatcher: through(port, false) });
    expect(answer.status).toBe(200);
  },
);

it('the number of connections is limited: at the limit they work, above it they are closed', async () => {
  const { port } = await proxyFor({ ...inside(), maxConnections: 2 });
  const open = async () => {
    const socket = connect(port, '127.0.0.1');
    stack.defer(() => void socket.destroy());
    socket.on('error', () => {});
    socket.write(`CONNECT 127.0.0.1:${webPort} HTTP/1.1\r\n\r\n`);
    return Promise.race([
      once(socket, 'data').then(([data]) => String(data).split('\r\n')[0]),
      once(socket, 'close').then(() => 'closed'),
    ]);
  };
  expect(await open()).toBe('HTTP/1.1 200 Connection established');
  expect(await open()).toBe('HTTP/1.1 200 Connection established');
  expect(await open()).toBe('closed');
});

it('connections that were refused do not count any more once the client has left', async () => {
  const { port } = await proxyFor({ ...inside(), maxConnections: 1 });
  for (const authority of ['example.test:443', '192.0.2.1:80', 'nonsense::', `127.0.0.1:${webPort}`]) {
    const answer = await eventually(async () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.end(`CONNECT ${authority} HTTP/1.1\r\n\r\n`);
      // Empty while the one before is still on its way out.
      return (await socket.toArray().catch(() => [])).join('') || undefined;
    });
    expect(answer).toMatch(authority.startsWith('127') ? /^HTTP\/1\.1 200 / : /^HTTP\/1\.1 40[03] /);
  }
});

it('a client that does not read holds up neither the others nor the memory', async () => {
  const { port, host } = await proxyFor(inside());
  const lazy = connect(port, '127.0.0.1');
  stack.defer(() => void lazy.destroy());
  lazy.write(`GET http://127.0.0.1:${webPort}/big HTTP/1.1\r\nHost: a\r\n\r\n`);
  lazy.pause();
  const before = host.bytesWritten;
  await eventually(() => host.bytesWritten > before);
  const answer = await fetch(`http://127.0.0.1:${webPort}/`, { dispatcher: through(port, false) });
  expect(await answer.text()).toBe('hello');
  // The kernel's own buffers between the halves take some beyond the window.
  expect(host.bytesWritten).toBeLessThan(BODY.byteLength + WINDOW_BYTES);
});
