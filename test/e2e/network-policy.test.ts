import { createHash, randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SandboxResponse } from '../../src/protocol/rest.ts';
import { AgentClient } from '../support/agent-client.ts';
import { type CellOptions, writeConfig } from '../support/cell-config.ts';
import { cli } from '../support/cli.ts';
import { eventually } from '../support/processes.ts';
import { API_KEY } from '../support/sandbox-server.ts';
import { openStateServer, type StateServer } from '../support/state-server.ts';
import { tempFolder } from '../support/temp-folder.ts';

const BODY = randomBytes(4_000_000);
/** Not 127.0.0.1, which is the guest's own: programs ask no proxy for it. */
const ALLOWED = '127.0.0.2';
const NAME = hostname();

/** Listens on every address of this host. */
let web: Server;
let webPort: number;
/** Answers, too, and is on no list but by name. */
let otherPort: number;
/** Connections to `web` now. */
let connections = 0;
let allow: readonly string[];
let files: AsyncDisposableStack;

beforeAll(async () => {
  files = new AsyncDisposableStack();
  web = createServer((incoming, response) => {
    const hash = createHash('sha256');
    incoming.on('data', (chunk) => hash.update(chunk));
    incoming.on('end', () => {
      response.setHeader('x-sum', hash.digest('hex'));
      response.end(incoming.url === '/big' ? BODY : `hello from ${incoming.url}`);
    });
  });
  web.on('connection', (socket) => {
    connections += 1;
    socket.once('close', () => {
      connections -= 1;
    });
  });
  webPort = await listen(web);
  const other = createServer((_, response) => void response.end('other'));
  otherPort = await listen(other);
  const { address } = await lookup(NAME, { family: 4 });
  allow = [
    `${ALLOWED}/32:${webPort}`,
    ...[`${NAME}:${webPort}`, `${address}:${webPort}`],
    // A name alone, which opens no address inside.
    `localhost:${otherPort}`,
  ];
});

afterAll(() => files?.disposeAsync());

async function listen(server: Server): Promise<number> {
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  files.defer(() => void server.close());
  files.defer(() => void server.closeAllConnections());
  return (server.address() as AddressInfo).port;
}

/** Tries to connect in every way that a program has, and prints what came of each as one JSON object. */
const PROBE = `
import json, socket, sys, urllib.request
def connect(target, bytes=None):
    s = socket.create_connection(('127.0.0.1', 3128), 20)
    s.sendall(f'CONNECT {target} HTTP/1.1\\r\\n\\r\\n'.encode())
    return s.recv(4096).decode().split('\\r\\n')[0]
kept = []
def hold(target, count):
    def one():
        s = socket.create_connection(('127.0.0.1', 3128), 20)
        kept.append(s)
        s.sendall(f'CONNECT {target} HTTP/1.1\\r\\n\\r\\n'.encode())
        try:
            return s.recv(4096).decode().split('\\r\\n')[0]
        except ConnectionError:
            return ''
    return [one() for _ in range(count)]
def raw(host, port):
    socket.create_connection((host, port), 5).close()
    return 'connected'
def udp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.sendto(b'x', (host, port))
    return 'sent'
def resolve(name):
    return socket.getaddrinfo(name, 80)[0][4][0]
def get(url):
    return urllib.request.urlopen(url, timeout=20).read().decode()
found = {}
for name, (way, *arguments) in json.loads(sys.argv[1]).items():
    try:
        found[name] = globals()[way](*arguments)
    except Exception as error:
        found[name] = str(error)
print(json.dumps(found))
`;

/** Takes the stream that carries the guest's connections from the agent, and writes nonsense to it. */
const FLOOD = `
import ctypes, os
PIDFD_OPEN, PIDFD_GETFD = 434, 438
call = ctypes.CDLL(None).syscall
def streams():
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if 'agentd' not in open(f'/proc/{pid}/cmdline').read(): continue
            for fd in map(int, os.listdir(f'/proc/{pid}/fd')):
                target = os.readlink(f'/proc/{pid}/fd/{fd}')
                if 'vport' in target or (fd == 4 and target.startswith('socket:')): yield target, int(pid), fd
        except OSError:
            continue
# The port of the agent itself comes before it.
_, pid, fd = max(streams(), default=(None, None, None))
taken = -1 if pid is None else call(PIDFD_GETFD, call(PIDFD_OPEN, pid, 0), fd, 0)
if taken >= 0: os.write(taken, b'\\xff' * 65536)
print('written' if taken >= 0 else 'nothing to write to')
`;

describe.each(['qemu', 'bubblewrap'])('a guest of the driver %s', (driver) => {
  let folder: string;
  let server: StateServer;
  let sandbox: SandboxResponse;
  let client: AgentClient;

  beforeAll(async () => {
    folder = files.use(await tempFolder()).path;
    server = await openStateServer(folder, driver, allow);
    files.defer(() => server[Symbol.asyncDispose]());
    sandbox = await server.start('open');
    client = await AgentClient.open(server, sandbox.id);
    files.defer(() => client.socket.terminate());
  });

  const shell = (command: string, input?: string, agent = client) =>
    agent.exec({ cmd: 'sh', args: ['-c', command] }, input);
  const node = (code: string, agent = client) => agent.exec({ cmd: '/opt/workcell/bin/node', args: ['-e', code] });

  async function probe(ways: Readonly<Record<string, readonly unknown[]>>, agent = client): Promise<unknown> {
    const { stdout, stderr } = await agent.exec({ cmd: 'python3', args: ['-c', PROBE, JSON.stringify(ways)] });
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout);
  }

  it.each([
    ['fetch of node', () => node(`fetch('http://${ALLOWED}:${webPort}/a').then((a) => a.text()).then(console.log)`)],
    ['curl', () => shell(`curl -sS http://${ALLOWED}:${webPort}/a`)],
    ['curl through a tunnel', () => shell(`curl -sS --proxytunnel http://${ALLOWED}:${webPort}/a`)],
  ])('reaches what is allowed with %s', async (_way, reach) => {
    expect(await reach()).toMatchObject({ stdout: expect.stringMatching(/^hello from \/a\n?$/), end: { code: 0 } });
  });

  it('reaches what is allowed by address and by name, and nothing else', async () => {
    const refused = 'HTTP/1.1 403 Forbidden';
    expect(
      await probe({
        'urllib, by address': ['get', `http://${ALLOWED}:${webPort}/a`],
        'urllib, by name': ['get', `http://${NAME}:${webPort}/a`],
        'a tunnel by address': ['connect', `${ALLOWED}:${webPort}`],
        'a tunnel by name': ['connect', `${NAME}:${webPort}`],
        'another port': ['connect', `${ALLOWED}:${otherPort}`],
        'another port by plain HTTP': ['get', `http://${ALLOWED}:${otherPort}/`],
        'another address': ['connect', `127.0.0.3:${webPort}`],
        'another spelling of another address': ['connect', `2130706435:${webPort}`],
        'the metadata service': ['connect', '169.254.169.254:80'],
        'a name that leads inside': ['connect', `localhost:${otherPort}`],
        'a name that is not on the list': ['connect', 'example.com:443'],
        'an address inside of the address family that nobody named': ['connect', `[::1]:${webPort}`],
        'a socket without the proxy': ['raw', '192.0.2.1', 80],
        'a datagram': ['udp', '192.0.2.1', 53],
        'the resolver': ['resolve', 'example.com'],
      }),
    ).toEqual({
      'urllib, by address': 'hello from /a',
      'urllib, by name': 'hello from /a',
      'a tunnel by address': 'HTTP/1.1 200 Connection established',
      'a tunnel by name': 'HTTP/1.1 200 Connection established',
      'another port': refused,
      'another port by plain HTTP': 'HTTP Error 403: Forbidden',
      'another address': refused,
      'another spelling of another address': refused,
      'the metadata service': refused,
      'a name that leads inside': refused,
      'a name that is not on the list': refused,
      'an address inside of the address family that nobody named': refused,
      'a socket without the proxy': expect.stringContaining('Network is unreachable'),
      'a datagram': expect.stringContaining('Network is unreachable'),
      'the resolver': expect.stringMatching(/Name or service not known|Temporary failure in name resolution/),
    });
  });

  it('does not reach the loopback of the host as its own', async () => {
    expect(await probe({ web: ['raw', ALLOWED, webPort] })).toEqual({
      web: expect.stringContaining('Connection refused'),
    });
  });

  it('finds each refused connection in its log', async () => {
    await probe({ refused: ['connect', '192.0.2.9:25'] });
    await eventually(async () =>
      (await systemLog()).includes(
        '--- connection to 192.0.2.9:25 refused: no rule allows this address and port ---\n',
      ),
    );
    expect(await systemLog()).not.toContain(`${ALLOWED}:${webPort} refused`);
  });

  /** What the log of the sandbox holds until now. */
  async function systemLog(): Promise<string> {
    const abort = new AbortController();
    const response = await request(`${server.url}/v1/sandboxes/${sandbox.id}/logs?sources=system`, {
      headers: { authorization: `Bearer ${API_KEY}` },
      signal: abort.signal,
    });
    let text = '';
    response.body.on('error', () => {});
    response.body.on('data', (chunk) => {
      text += chunk;
    });
    await eventually(() => text.includes('sandbox started'));
    abort.abort();
    const lines = text.split('\n').filter((line) => line.startsWith('data: {'));
    return lines.map((line) => JSON.parse(line.slice(6)).text).join('');
  }

  it('moves large bodies whole both ways, by plain HTTP and through a tunnel', async () => {
    const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    const body = Buffer.alloc(3_000_000, 'x');
    for (const tunnel of ['', '--proxytunnel']) {
      const { stdout, stderr } = await shell(
        `head -c 3000000 /dev/zero | tr '\\0' x > /tmp/body
         curl -sS ${tunnel} -H 'Expect:' -D /tmp/head --data-binary @/tmp/body -o /tmp/back http://${ALLOWED}:${webPort}/big
         sha256sum < /tmp/back; grep -i x-sum /tmp/head`,
      );
      expect(stdout, stderr).toContain(sum(BODY));
      expect(stdout, stderr).toContain(sum(body));
    }
  });

  it('has no network, no proxy and no word of one when its request turns it off', async () => {
    const { id } = await server.start('closed', { network: { enabled: false } });
    await assertClosed(await AgentClient.open(server, id));
    await server.call('DELETE', `/${id}`);
  });

  it("takes its request's own policy as less, never as more", async () => {
    const any = { direction: 'egress', action: 'allow' } as const;
    const policy = {
      default_egress: 'allow',
      rules: [
        { ...any, action: 'deny', destination: { cidr: `${ALLOWED}/32` } },
        { ...any, destination: { cidr: '127.0.0.0/8' } },
        { ...any, destination: 'any' },
        { ...any, destination: { cidr: `${ALLOWED}/32` } },
      ],
    };
    const { id } = await server.start('narrow', { network: { policy, max_connections: 2 } });
    const agent = await AgentClient.open(server, id);
    const refused = 'HTTP/1.1 403 Forbidden';
    const taken = 'HTTP/1.1 200 Connection established';
    expect(
      await probe(
        {
          'what it denies': ['connect', `${ALLOWED}:${webPort}`],
          'what only it allows': ['connect', `127.0.0.3:${webPort}`],
          'another port that only it allows': ['connect', `${NAME}:${otherPort}`],
          'what both allow': ['connect', `${NAME}:${webPort}`],
        },
        agent,
      ),
    ).toEqual({
      'what it denies': refused,
      'what only it allows': refused,
      'another port that only it allows': refused,
      'what both allow': taken,
    });
    // Those of the program before have gone with it.
    await eventually(() => connections === 0);
    expect(await probe({ three: ['hold', `${NAME}:${webPort}`, 3] }, agent)).toEqual({ three: [taken, taken, ''] });
    await eventually(() => connections === 0);
    expect(await probe({ two: ['hold', `${NAME}:${webPort}`, 2] }, agent)).toEqual({ two: [taken, taken] });
    agent.socket.terminate();
    await server.call('DELETE', `/${id}`);
  });

  it('loses its connections and nothing else when it writes nonsense where its connections travel', async () => {
    const { id } = await server.start('noisy');
    const agent = await AgentClient.open(server, id);
    const held = agent.newId();
    agent.send(held, 'core.exec.request', {
      cmd: 'python3',
      args: [
        '-c',
        `${PROBE}\nimport time\ntime.sleep(600)`,
        JSON.stringify({ one: ['hold', `${ALLOWED}:${webPort}`, 1] }),
      ],
    });
    await eventually(() => connections === 1);
    const { stdout } = await agent.exec({ cmd: 'python3', args: ['-c', FLOOD] });
    if (driver === 'bubblewrap') {
      // Nobody takes descriptors from another process there.
      expect(stdout).toMatch(/^nothing to write to\n$/);
      expect(connections).toBe(1);
    } else {
      expect(stdout).toBe('written\n');
      await eventually(() => connections === 0);
      expect(await shell('echo still here', undefined, agent)).toMatchObject({ stdout: 'still here\n' });
      const again = () => probe({ again: ['get', `http://${ALLOWED}:${webPort}/a`] }, agent);
      await eventually(async () => ((await again()) as { again: string }).again === 'hello from /a');
    }
    // Neither another guest nor the server has noticed.
    expect(await probe({ other: ['get', `http://${ALLOWED}:${webPort}/a`] })).toEqual({ other: 'hello from /a' });
    expect(await server.call('GET', `/${id}`)).toMatchObject({ status: 'running' });
    agent.socket.terminate();
    await server.call('DELETE', `/${id}`);
    // The proxy of a guest ends with it, and with it what it has opened.
    await eventually(() => connections === 0);
  });

  it.runIf(driver === 'qemu')('has its network again after its server was killed', async () => {
    client.socket.terminate();
    await server.kill();
    server = await openStateServer(folder, driver, allow);
    expect(await server.call('GET', `/${sandbox.id}`)).toMatchObject({ status: 'running' });
    client = await AgentClient.open(server, sandbox.id);
    await eventually(async () => {
      const { stdout } = await shell(`curl -sS http://${ALLOWED}:${webPort}/a`);
      return stdout === 'hello from /a';
    });
    expect(await probe({ another: ['connect', `${ALLOWED}:${otherPort}`] })).toEqual({
      another: 'HTTP/1.1 403 Forbidden',
    });
  });

  it('has no network on a server that allows nothing, whatever its request says', async () => {
    await server.call('DELETE', `/${sandbox.id}`);
    await server.kill();
    server = await openStateServer(folder, driver);
    const { id } = await server.start('nothing', { network: { policy: { default_egress: 'allow' } } });
    await assertClosed(await AgentClient.open(server, id));
    await server.call('DELETE', `/${id}`);
  });

  async function assertClosed(agent: AgentClient): Promise<void> {
    const seen = await shell('env | grep -i proxy; tail -n +3 /proc/net/dev | cut -d: -f1', undefined, agent);
    expect(seen.stdout.trim().split(/\s+/)).toEqual(['lo']);
    expect(await probe({ proxy: ['raw', '127.0.0.1', 3128] }, agent)).toEqual({
      proxy: expect.stringContaining('Connection refused'),
    });
    agent.socket.terminate();
  }
});

describe('a program of a configuration with sandbox.network.allow', () => {
  const PROGRAM = (url: string) => `
    const { url, status, text } = await fetch('${url}').then(async (a) => ({ url: a.url, status: a.status, text: await a.text() }));
    console.log('seen');
    return { url, status, text };`;

  async function run(sandbox: CellOptions['sandbox'], program: string) {
    const folder = files.use(await tempFolder()).path;
    await writeConfig(folder, { sandbox: { driver: 'bubblewrap', isolation: 'process', ...sandbox } });
    const { code, stdout, stderr } = await cli(['run', '-', '--json'], { cwd: folder, input: program });
    return { code, stderr, result: stdout === '' ? undefined : JSON.parse(stdout) };
  }

  it('fetches what is on the list, with a result like any other', async () => {
    const url = `http://${ALLOWED}:${webPort}/a`;
    const { code, result } = await run({ network: { allow } }, PROGRAM(url));
    expect(result).toMatchObject({
      status: 'completed',
      value: { url, status: 200, text: 'hello from /a' },
      stdout: 'seen\n',
      stderr: '',
      error: null,
      calls: [],
    });
    expect(code).toBe(0);
  });

  it('is refused what is not, in words that say why', async () => {
    const { code, result } = await run(
      { network: { allow } },
      `const url = 'http://${ALLOWED}:${otherPort}/';
       const { get } = await import('node:http');
       const text = await new Promise((resolve) => get(url, async (a) => resolve((await a.toArray()).join(''))));
       // It asks for a tunnel, also for plain HTTP, and shows nothing of the answer.
       return { text, fetch: await fetch(url).catch((error) => error.message) };`,
    );
    expect(result.value).toEqual({
      text: `The network policy of this sandbox does not allow ${ALLOWED}:${otherPort}: no rule allows this address and port\n`,
      fetch: 'fetch failed',
    });
    expect(code).toBe(0);
  });

  it('reaches nothing without the key', async () => {
    const { code, result } = await run({}, PROGRAM(`http://${ALLOWED}:${webPort}/a`));
    expect(code).toBe(1);
    expect(result).toMatchObject({ status: 'failed', error: { message: expect.stringContaining('fetch failed') } });
  });

  it('does not start when an entry is no destination', async () => {
    const { code, result } = await run({ network: { allow: [...allow, 'http://a'] } }, 'return 1');
    expect(code).toBe(2);
    expect(result).toMatchObject({
      error: {
        code: 'invalid_config',
        message: expect.stringContaining(`sandbox.network.allow[${allow.length}]: "http://a" is not a destination`),
      },
    });
  });
});
