import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isWorkcellError } from '../../core/errors.ts';
import {
  FLAT_ERROR,
  HEALTH_PATH,
  MAX_REQUEST_BYTES,
  RPC_ERROR,
  RPC_PATH,
  type RpcError,
  type RpcResponse,
  rpcRequestSchema,
} from '../../protocol/json-rpc.ts';
import { legacyCredential } from '../legacy-token.ts';
import type { RpcCaller } from '../rpc/caller.ts';
import { type RpcFailure, toRpcFailure } from '../rpc/failure.ts';
import { RpcMethods } from '../rpc/methods.ts';

export interface RpcRouteOptions {
  /** Of a request whose key has been found good. */
  readonly callerOf: (request: FastifyRequest) => RpcCaller;
  /** How long a sandbox may take to start. */
  readonly startTimeoutMs: number;
}

/** `GET /api/v1/health` and `POST /api/v1/rpc`: the server of Microsandbox 0.2. */
export function rpcRoutes(app: FastifyInstance, { callerOf, startTimeoutMs }: RpcRouteOptions): void {
  const methods = new RpcMethods({ startTimeoutMs });
  app.get(HEALTH_PATH, { config: { access: 'anyone' } }, async () => ({ message: 'Service is healthy' }));
  app.post(
    RPC_PATH,
    { config: { access: 'legacy' }, bodyLimit: MAX_REQUEST_BYTES, errorHandler: refuse },
    async (request, reply) => answer(request.body, callerOf(request), methods, reply),
  );
}

/** What is refused before there is a JSON-RPC request: a key, a body that is too large, not JSON, or of another type. */
function refuse(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  if (isWorkcellError(error) && error.code === 'unauthenticated') {
    void reply.status(401).send(isToken(request) ? FLAT_ERROR.invalidToken : FLAT_ERROR.invalidCredentials);
    return;
  }
  const failure = ofFramework(error) ?? toRpcFailure(error, '');
  void reply.status(failure.status).send(failed(undefined, failure.error));
}

function isToken({ headers }: FastifyRequest): boolean {
  return legacyCredential(headers)?.startsWith('msb_') === true;
}

async function answer(body: unknown, caller: RpcCaller, methods: RpcMethods, reply: FastifyReply): Promise<unknown> {
  const parsed = rpcRequestSchema.safeParse(body);
  if (!parsed.success) {
    const message = 'The request is not a JSON-RPC 2.0 object with a method; batches are not taken';
    return reply.status(400).send(failed(undefined, { code: RPC_ERROR.invalidRequest, message }));
  }
  const { jsonrpc, method, params, id } = parsed.data;
  if (jsonrpc !== '2.0') {
    const message = 'Invalid or missing jsonrpc version field';
    return reply.status(400).send(failed(id, { code: RPC_ERROR.invalidRequest, message }));
  }
  if (!methods.has(method)) {
    const error = { code: RPC_ERROR.unknownMethod, message: `Method not found: ${method.slice(0, 200)}` };
    return reply.status(404).send(failed(id, error));
  }
  try {
    const result = await methods.call({ method, params, caller, signal: leaving(reply) });
    return { ...envelope(id), result } satisfies RpcResponse;
  } catch (error) {
    if (isWorkcellError(error) && error.code === 'forbidden' && 'namespace' in error.details)
      return reply.status(403).send(FLAT_ERROR.accessDenied);
    const failure = toRpcFailure(error, method);
    return reply.status(failure.status).send(failed(id, failure.error));
  }
}

/** Aborts when the client has gone before it had its answer. */
function leaving({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) controller.abort();
  });
  return controller.signal;
}

function envelope(id: unknown): { jsonrpc: '2.0'; id?: unknown } {
  // A null id is none, as the original reads it.
  return id === undefined || id === null ? { jsonrpc: '2.0' } : { jsonrpc: '2.0', id };
}

function failed(id: unknown, error: RpcError): RpcResponse {
  return { ...envelope(id), error };
}

/** What the HTTP framework refuses by itself. */
function ofFramework({ statusCode: status = 500, message }: FastifyError): RpcFailure | undefined {
  if (status < 400 || status >= 500) return undefined;
  return { status, error: { code: status === 400 ? RPC_ERROR.parse : RPC_ERROR.invalidRequest, message } };
}
