import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { WorkcellError } from '../core/errors.ts';
import type { HttpLimits } from './http-limits.ts';

/**
 * Keeps web pages away from the server, whatever key a browser may hold: a page of another origin is refused, and so is one
 * that reaches the server under a name that its own DNS has bound to the server's address. There are no CORS headers, so
 * nothing of an answer could be read either. What is too long or too slow is refused, too.
 */
export function guardRequests(app: FastifyInstance, options: GuardOptions): void {
  const { host, hosts, limits } = options;
  const given = hosts.map((name) => name.toLowerCase());
  const listensOn = isIP(host) === 0 ? [host.toLowerCase()] : [];
  const names: ServerNames = { hosts: new Set(['localhost', ...listensOn, ...given]), origins: new Set(given) };
  app.addHook('onRequest', async ({ raw }) => {
    // Also of a body that nobody wants: it is read to its end before the connection can be used again.
    boundBody(raw, limits);
    const problem = problemOf(factsOf(raw), names);
    if (problem !== undefined) throw new WorkcellError('forbidden', problem);
    if ((raw.url ?? '').length > limits.urlChars)
      throw new WorkcellError('invalid_argument', `The request URL is longer than ${limits.urlChars} characters`);
  });
}

export interface GuardOptions {
  /** What the server listens on. */
  readonly host: string;
  /** Further names under which clients reach it. */
  readonly hosts: readonly string[];
  readonly limits: HttpLimits;
}

/** In lower case. */
export interface ServerNames {
  /** What a `Host` header may say. */
  readonly hosts: ReadonlySet<string>;
  /** Whose pages may send requests, besides those of the server's own origin. */
  readonly origins: ReadonlySet<string>;
}

export interface RequestFacts {
  readonly method: string;
  /** As it was sent; undefined when there is none, or more than one. */
  readonly host: string | undefined;
  readonly origin: string | undefined;
  /** The address of the server's end of the connection. */
  readonly localAddress: string | undefined;
}

/** Why a request is not to be served; undefined when it is. */
export function problemOf(request: RequestFacts, names: ServerNames): string | undefined {
  const { method, host, origin } = request;
  if (method === 'OPTIONS') return 'This server does not answer preflight requests: it is not for web pages';
  const name = hostnameOf(host);
  if (name === undefined || !(names.hosts.has(name) || isOwnAddress(name, request.localAddress)))
    return `This server does not go by the name ${JSON.stringify(host ?? '')}; its administrator can add it to server.hosts`;
  if (origin !== undefined && !isOwnOrigin(origin, request, names))
    return 'Requests of web pages of another origin are refused';
  return undefined;
}

/** Of two Host headers Node would take the first, and a proxy in front perhaps the second (RFC 9112, section 3.2). */
function factsOf({ method = '', headers, rawHeaders, socket }: IncomingMessage): RequestFacts {
  const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host');
  const host = hosts.length === 1 ? headers.host : undefined;
  return { method, host, origin: headers.origin, localAddress: socket.localAddress };
}

/** Without port, in lower case; undefined when it is no `host[:port]`. */
function hostnameOf(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(host ?? '');
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

/** Only the address to which the client has connected: no name is involved that another could have bound to it. */
function isOwnAddress(name: string, localAddress = ''): boolean {
  if (isIP(name) === 0) return false;
  return canonical(name) === canonical(localAddress);
}

/** IPv6 in one spelling, and without the zone; IPv4 as itself, also within IPv6. */
function canonical(address: string): string {
  const plain = address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(plain) === 6 ? new URL(`http://[${plain}]`).hostname : plain;
}

/** The origin that the request goes to, or one under a name that the configuration gives. */
function isOwnOrigin(origin: string, { host }: RequestFacts, { origins }: ServerNames): boolean {
  if (!/^https?:\/\//i.test(origin) || !URL.canParse(origin)) return false;
  const page = new URL(origin);
  return page.host === host?.toLowerCase() || origins.has(page.hostname);
}

/** Ends the connection of a body that comes too slowly: so many of them would take all there is. */
function boundBody(request: IncomingMessage, { bodyTimeoutMs, bodyBytesPerSecond }: HttpLimits): void {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers;
  if (encoding === undefined && Number(length) === 0) return;
  const { socket } = request;
  const startedAt = performance.now();
  const alreadyRead = socket.bytesRead;
  const remaining = () => {
    const earned = ((socket.bytesRead - alreadyRead) / bodyBytesPerSecond) * 1000;
    return startedAt + bodyTimeoutMs + earned - performance.now();
  };
  let timer = setTimeout(check, bodyTimeoutMs);
  const stop = () => clearTimeout(timer);
  request.once('end', stop).once('close', stop);

  function check(): void {
    const ms = remaining();
    if (ms <= 0) socket.destroy();
    else timer = setTimeout(check, Math.ceil(ms));
  }
}
