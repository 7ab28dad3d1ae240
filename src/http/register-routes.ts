import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { customerOf, noSuchCustomer } from '../core/customer-of.ts';
import { assertScope } from '../core/principal.ts';
import { traceContext } from '../core/trace-context.ts';
import { Span } from '../telemetry/span.ts';
import { acceptedType } from './accept.ts';
import { type Answer, type HttpContext, isRawBody, type RawBody, type Route } from './define-route.ts';
import { drainBody, limitBody, tooLarge } from './limit-body.ts';
import { validate } from './validate.ts';

const BODY_BYTES = 1024 * 1024;
/** Of an answer without a body, or whose type nobody can choose. */
const ANY = '*/*';

/** Serves the routes; each request is authorised, then checked, then handled. */
export async function registerRoutes(
  app: FastifyInstance,
  routes: readonly Route[],
  context: HttpContext,
): Promise<void> {
  const isRaw = (route: Route) => isRawBody(route.body);
  await app.register(async (json) => {
    json.removeContentTypeParser('text/plain');
    json.addContentTypeParser('*', (request, _payload, done) => done(wrongType(request, ['application/json'])));
    for (const route of routes.filter((each) => !isRaw(each))) register(json, route, context);
  });
  await app.register(async (raw) => {
    raw.removeAllContentTypeParsers();
    raw.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    for (const route of routes.filter(isRaw)) register(raw, route, context);
  });
}

function register(app: FastifyInstance, route: Route, context: HttpContext): void {
  const offered = typesOf(route);
  const url = route.path.replace(/\{\w+\*\}$/, '*').replace(/\{(\w+)\}/g, ':$1');
  const takesHead = route.method === 'GET' && !app.hasRoute({ method: 'HEAD', url });
  app.route({
    method: takesHead ? ['GET', 'HEAD'] : route.method,
    url,
    bodyLimit: isRawBody(route.body) ? route.body.maxBytes : (route.bodyBytes ?? BODY_BYTES),
    exposeHeadRoute: false,
    preParsing: async (request, _reply, payload) => {
      assertScope(request.principal, route.scope);
      if (isRawBody(route.body)) assertRawBody(request, route.body);
      return payload;
    },
    handler: async (request, reply) => {
      try {
        return send(reply, await answerTo(request, reply));
      } finally {
        if (isRawBody(route.body)) drainBody(rawBodyOf(request), route.body.maxBytes);
      }
    },
  });

  async function answerTo(request: FastifyRequest, reply: FastifyReply): Promise<Answer> {
    const { principal, id: requestId } = request;
    const span = startSpan(request, reply, route);
    const { customer: given, ...params } = paramsOf(request, route);
    const customer = given === undefined ? undefined : context.cell.customer(customerOf(principal, given));
    if (customer !== undefined && route.makesCustomer !== true && !(await customer.exists()))
      throw noSuchCustomer(given ?? '');
    const accept = offered.includes(ANY) ? ANY : acceptedType(request.headers.accept, offered);
    if (accept === undefined) throw notAcceptable(offered);
    return await route.handler({
      customer,
      params: validate(route.params, params, 'path'),
      query: validate(route.query, request.query, 'query'),
      body: bodyOf(request, route),
      headers: route.headers === undefined ? undefined : validate(route.headers, request.headers, 'headers'),
      principal,
      requestId,
      trace: span.traceContext,
      accept,
      signal: goneSignal(reply),
    } as never);
  }
}

/** The types of its successful answers, JSON first. */
export function typesOf({ responses }: Route): readonly string[] {
  const successes = Object.entries(responses).filter(([status]) => Number(status) < 400);
  const types = successes.flatMap(([, { schema, types = {} }]) => [
    ...(schema === undefined ? [] : ['application/json']),
    ...Object.keys(types),
  ]);
  return types.length === 0 ? [ANY] : [...new Set(types)];
}

function paramsOf({ params }: FastifyRequest, { path }: Route): Record<string, string> {
  const { '*': rest, ...named } = params as Record<string, string>;
  const restName = /\{(\w+)\*\}$/.exec(path)?.[1];
  return restName === undefined || rest === undefined ? named : { ...named, [restName]: rest };
}

function bodyOf(request: FastifyRequest, { body }: Route): unknown {
  if (isRawBody(body)) return limitBody(rawBodyOf(request), body.maxBytes);
  return validate(body, request.body, 'body');
}

/** A request without a body has an empty one. */
function rawBodyOf({ body }: FastifyRequest): Readable {
  return (body as Readable | undefined) ?? Readable.from([]);
}

/** Before a byte of it is read. */
function assertRawBody(request: FastifyRequest, { types, maxBytes }: RawBody): void {
  if (!types.includes('*/*') && !types.includes(contentTypeOf(request))) throw wrongType(request, types);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

function wrongType(request: FastifyRequest, types: readonly string[]): Error {
  const message = `This route takes ${types.join(', ')}; the request has ${JSON.stringify(contentTypeOf(request))}`;
  return Object.assign(new Error(`${message}; change Content-Type`), { statusCode: 415 });
}

function contentTypeOf({ headers }: FastifyRequest): string {
  return headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? '';
}

function notAcceptable(offered: readonly string[]): Error {
  return Object.assign(new Error(`The answer is to be had as ${offered.join(', ')} only; change Accept`), {
    statusCode: 406,
  });
}

/** Ends with the answer. */
function startSpan({ headers, method }: FastifyRequest, reply: FastifyReply, { path }: Route): Span {
  const span = Span.start(`${method} ${path}`, {
    kind: 'server',
    parent: traceContext(headers['traceparent'], headers['tracestate']),
    attributes: { 'http.request.method': method, 'http.route': path },
  });
  reply.raw.once('close', () => {
    const { statusCode } = reply.raw;
    span.set({ 'http.response.status_code': statusCode });
    span.end(statusCode < 500 ? undefined : { code: String(statusCode), message: '' });
  });
  return span;
}

function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort();
  });
  return gone.signal;
}

function send(reply: FastifyReply, { status, headers = {}, body, type, headersAtOnce = false }: Answer): FastifyReply {
  void reply.status(status ?? (body === undefined ? 204 : 200)).headers(headers);
  if (type !== undefined) void reply.type(type);
  if (body === undefined) return reply.send();
  if (reply.request.method === 'HEAD' && body instanceof Readable) {
    // Its length is known only to who has read it, and nobody gets it.
    body.destroy();
    return reply.send();
  }
  // The framework sets them before it connects the stream, and sends them with its first bytes.
  if (headersAtOnce) reply.raw.once('pipe', () => reply.raw.flushHeaders());
  if (type !== undefined) return reply.send(body);
  return reply.type('application/json').send(JSON.stringify(body));
}
