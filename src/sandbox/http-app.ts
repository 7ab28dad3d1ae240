import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type FastifyInstance, fastify } from 'fastify';
import type { ErrorResponse } from '../protocol/rest.ts';
import { toFailure } from './api-error.ts';
import type { HttpLimits } from './http-limits.ts';

/** How often the server looks for connections that are too slow: short of what a client would notice. */
const SLOW_CHECK_MS = 500;

/** An HTTP server without routes that takes no more from a client than the limits say. */
export function createHttpApp(limits: HttpLimits): FastifyInstance {
  const app = fastify({
    bodyLimit: limits.bodyBytes,
    forceCloseConnections: true,
    // A sandbox's name may have 128 characters, each escaped.
    routerOptions: { maxParamLength: 3 * 128 },
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(SLOW_CHECK_MS, limits.headersTimeoutMs),
    },
    clientErrorHandler: refuse,
    genReqId: ({ headers }) => requestIdOf(headers[REQUEST_ID]),
    // Of the router, before any hook: a URL that cannot be decoded.
    frameworkErrors: (error, request, reply) => {
      const { status, headers, body } = toFailure(error, request);
      const named = { 'content-type': 'application/json', [REQUEST_ID]: request.id, ...headers };
      reply.raw.writeHead(status, named).end(JSON.stringify(body));
    },
  });
  app.addHook('onRequest', async (request, reply) => void reply.header(REQUEST_ID, request.id));
  app.server.maxConnections = limits.connections;
  return app;
}

const REQUEST_ID = 'x-request-id';

/** The client's own id where it is one that may stand in a log and a header, else a new one. */
function requestIdOf(given: string | readonly string[] | undefined): string {
  return typeof given === 'string' && /^[A-Za-z0-9._~+/=-]{1,128}$/.test(given) ? given : `req_${randomUUID()}`;
}

/** Answers what is no HTTP request, in the words of the API, and hangs up. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const { status, code, message } = REFUSALS[error.code ?? ''] ?? NOT_HTTP;
  const body = JSON.stringify({ error: { code, message, details: null } } satisfies ErrorResponse);
  if (socket.writable) {
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  }
  socket.destroy(error);
}

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

const NOT_HTTP: Refusal = { status: 400, code: 'invalid_request', message: 'This is not a valid HTTP request' };
const REFUSALS: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: { status: 431, code: 'invalid_request', message: 'The request headers are too long' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'deadline_exceeded', message: 'The request took too long to arrive' },
};
