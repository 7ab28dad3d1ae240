import { lookup } from 'node:dns/promises';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { connect, isIP, type Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import { messageOf } from '../../core/errors.ts';
import type { NetworkPolicy } from '../../core/network-policy.ts';
import { StreamMux } from '../../protocol/stream-mux.ts';
import { mayConnect, mayResolve } from './decide-egress.ts';
import { LookupLimit } from './lookup-limit.ts';

export interface EgressOptions {
  /** All of them must allow a connection. */
  readonly policies: readonly NetworkPolicy[];
  /** Called for each connection that was refused. */
  readonly onDenied: (denied: EgressDenied) => void;
}

export interface EgressDenied {
  readonly host: string;
  readonly port: number;
  readonly reason: string;
}

/** URLs leave it out. */
const HTTP_PORT = 80;
const MAX_CONNECTIONS = 64;
const CONNECT_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 5 * 60_000;
/** RFC 9110 section 7.6.1, and what is meant for this proxy alone. */
const HOP_BY_HOP = [
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding'],
  'upgrade',
];

/**
 * The HTTP proxy of one guest: `CONNECT`, and plain HTTP with absolute addresses. It alone looks names up, and connects to
 * the very address that it has judged, so that a second DNS answer changes nothing.
 *
 * It ends with `guest`, the byte stream that carries the guest's connections.
 */
export function serveEgress(guest: Duplex, options: EgressOptions): void {
  const server = createProxy({ ...options, lookups: new LookupLimit() });
  const limit = Math.min(
    MAX_CONNECTIONS,
    ...options.policies.map(({ maxConnections }) => maxConnections ?? MAX_CONNECTIONS),
  );
  const mux = new StreamMux(guest, (stream) => {
    if (mux.size > limit) return false;
    server.emit('connection', stream);
    return true;
  });
  guest.once('close', () => server.closeAllConnections());
}

interface Proxy extends EgressOptions {
  readonly lookups: LookupLimit;
}

function createProxy(options: Proxy): Server {
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: IDLE_TIMEOUT_MS }, (incoming, response) => {
    void forward(incoming, response, options).catch((error) => refuse(response, error));
  });
  server.on('connect', (incoming: IncomingMessage, client: Duplex, head: Buffer) => {
    client.on('error', () => {});
    void tunnel(incoming, client, head, options).catch((error) => {
      const { status, text } = toRefusal(error);
      // Nobody else reads it, and it counts as a connection until its end was read.
      client.resume();
      client.end(
        `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
      );
    });
  });
  server.on('clientError', (_error, client) => client.destroy());
  return server;
}

async function tunnel(incoming: IncomingMessage, client: Duplex, head: Buffer, options: Proxy): Promise<void> {
  const { hostname, port } = authority(`http://${incoming.url}`);
  const upstream = await connectTo(await admit(hostname, port, options), port);
  client.write('HTTP/1.1 200 Connection established\r\n\r\n');
  if (head.byteLength > 0) upstream.write(head);
  const nothing = () => {};
  pipeline(client, upstream, nothing);
  pipeline(upstream, client, nothing);
}

async function forward(incoming: IncomingMessage, response: ServerResponse, options: Proxy): Promise<void> {
  const target = incoming.url ?? '';
  if (!/^http:\/\//i.test(target))
    throw new Refusal(
      '400 Bad Request',
      'This is a proxy: send "CONNECT host:port", or plain HTTP with an absolute URL',
    );
  const { hostname, port, path, host } = authority(target);
  const address = await admit(hostname, port, options);
  const headers = Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !HOP_BY_HOP.includes(name)));
  // Without it, the body of a method that rarely has one would follow the request as a request of its own.
  const framing = incoming.headers['transfer-encoding'] === undefined ? {} : { 'transfer-encoding': 'chunked' };
  const upstream = request({
    host: address,
    port,
    method: incoming.method,
    path,
    headers: { ...headers, ...framing, host },
    agent: false,
  });
  upstream.setTimeout(IDLE_TIMEOUT_MS, () => upstream.destroy());
  upstream.on('response', (answer) => {
    const kept = Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.includes(name));
    response.writeHead(answer.statusCode ?? 502, Object.fromEntries(kept));
    pipeline(answer, response, () => {});
  });
  upstream.on('error', (error) => refuse(response, error));
  pipeline(incoming, upstream, () => {});
  response.on('close', () => upstream.destroy());
}

/** The address to connect to. Throws a {@link Refusal} when the policies do not allow one. */
async function admit(hostname: string, port: number, { policies, onDenied, lookups }: Proxy): Promise<string> {
  const deny = (reason: string): never => {
    onDenied({ host: hostname, port, reason });
    throw new Refusal(
      '403 Forbidden',
      `The network policy of this sandbox does not allow ${hostname}:${port}: ${reason}`,
    );
  };
  const literal = isIP(hostname) > 0;
  if (!literal && !policies.every((policy) => mayResolve(policy, hostname, port)))
    deny('no rule allows this name and port');
  const addresses = literal
    ? [hostname]
    : ((await lookups.run(() => resolve(hostname))) ?? deny('it looks up too many names'));
  const allowed = addresses.find((address) =>
    policies.every((policy) => mayConnect(policy, literal ? undefined : hostname, address, port)),
  );
  return (
    allowed ??
    deny(literal ? 'no rule allows this address and port' : 'no rule allows the addresses that this name has')
  );
}

async function resolve(hostname: string): Promise<string[]> {
  try {
    return (await lookup(hostname, { all: true, verbatim: true })).map(({ address }) => address);
  } catch {
    throw new Refusal('502 Bad Gateway', `The name ${hostname} cannot be resolved`);
  }
}

function connectTo(address: string, port: number): Promise<Socket> {
  return new Promise((settle, reject) => {
    const socket = connect({ host: address, port, allowHalfOpen: true });
    const timer = setTimeout(() => socket.destroy(new Error('it does not answer')), CONNECT_TIMEOUT_MS);
    socket.once('close', () => clearTimeout(timer));
    socket.once('error', (error) => reject(new Refusal('502 Bad Gateway', `Cannot connect: ${messageOf(error)}`)));
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.setTimeout(IDLE_TIMEOUT_MS, () => socket.destroy());
      settle(socket);
    });
  });
}

function authority(url: string): { hostname: string; port: number; path: string; host: string } {
  if (!URL.canParse(url)) throw new Refusal('400 Bad Request', 'The address of the request is not valid');
  const { hostname, port, pathname, search, host } = new URL(url);
  return {
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? HTTP_PORT : Number(port),
    path: pathname + search,
    host,
  };
}

class Refusal extends Error {
  readonly status: string;

  constructor(status: string, message: string) {
    super(message);
    this.status = status;
  }
}

function toRefusal(error: unknown): { status: string; text: string } {
  if (error instanceof Refusal) return { status: error.status, text: `${error.message}\n` };
  return { status: '502 Bad Gateway', text: `The proxy failed: ${messageOf(error)}\n` };
}

function refuse(response: ServerResponse, error: unknown): void {
  const { status, text } = toRefusal(error);
  if (response.headersSent) response.destroy();
  else response.writeHead(Number(status.slice(0, 3)), { 'content-type': 'text/plain', connection: 'close' }).end(text);
}
