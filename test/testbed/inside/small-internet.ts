import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { promisify } from 'node:util';

/** Addresses of different kinds, all of this machine, with a web server on some ports of all of them, and names for some. */
export interface SmallInternet extends AsyncDisposable {
  /** Each request that has reached a server: `ADDRESS:PORT AUTHORIZATION`. */
  readonly requests: readonly string[];
  /** Each name that was looked up. */
  readonly lookups: ReadonlySet<string>;
}

const run = promisify(execFile);

export const PLACES = {
  api: '93.184.216.34',
  other: '93.184.216.35',
  database: '10.9.8.7',
  neighbour: '10.9.8.8',
  metadata: '169.254.169.254',
  /** Guests are given a network where there is a way to this address. */
  probed: '192.0.2.1',
} as const;
export const PORTS = { open: 8080, closed: 8081 } as const;
const NAMES: Readonly<Record<string, string>> = {
  'api.example.com': PLACES.api,
  'other.example.com': PLACES.other,
  // A name of somebody else's for an address of ours.
  'rebound.example.com': PLACES.neighbour,
};

/** Makes this machine's loopback all of it, and this process its name server. */
export async function openSmallInternet(busybox: string): Promise<SmallInternet> {
  await using undo = new AsyncDisposableStack();
  for (const address of Object.values(PLACES)) await run(busybox, ['ip', 'addr', 'add', `${address}/32`, 'dev', 'lo']);
  await writeFile('/etc/resolv.conf', 'nameserver 127.0.0.1\n');
  const requests: string[] = [];
  for (const port of Object.values(PORTS)) {
    const server = createServer(({ socket, headers }, response) => {
      requests.push(`${socket.localAddress}:${port} ${headers.authorization ?? '-'}`);
      response.end('reached\n');
    });
    server.listen(port, '0.0.0.0');
    await once(server, 'listening');
    undo.defer(() => void server.close().closeAllConnections());
  }
  const lookups = new Set<string>();
  const names = createSocket('udp4', (query, from) => {
    const { name, end } = questionOf(query);
    lookups.add(name);
    names.send(answerTo(query, name, end), from.port, from.address);
  });
  names.bind(53, '127.0.0.1');
  await once(names, 'listening');
  undo.defer(() => void names.close());
  const owned = undo.move();
  return { requests, lookups, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** RFC 1035, 4.1.2: labels after 12 bytes of header. */
function questionOf(query: Buffer): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

const TYPE_A = 1;

function answerTo(query: Buffer, name: string, end: number): Buffer {
  const address = NAMES[name];
  const isAsked = query.readUInt16BE(end) === TYPE_A;
  const header = Buffer.from([
    ...query.subarray(0, 2),
    0x81,
    address === undefined ? 0x83 : 0x80,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
  ]);
  const question = query.subarray(12, end + 4);
  if (address === undefined || !isAsked) return Buffer.concat([header, question]);
  header[7] = 1;
  // The name of the question, type A, class IN, for a minute.
  const record = Buffer.from([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]);
  return Buffer.concat([header, question, record]);
}
