import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { customerOf } from '../core/customer-of.ts';
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import { assertScope, type Principal } from '../core/principal.ts';
import type { Workcell } from '../workcell/workcell.ts';
import { HttpSessions } from './http-sessions.ts';
import { createMcpServer, type McpServerOptions, TOOL_MODES, type ToolMode } from './server.ts';

export interface McpRoutesOptions extends Omit<McpServerOptions, 'tools' | 'mayApprove'> {
  readonly cell: Pick<Workcell, 'customer'>;
}

/** A program may have 256 KiB and arguments 1 MiB, which JSON may make up to six times as long. */
export const BODY_BYTES: number = 4 * 1024 * 1024;
const PATHS = ['/mcp', '/customers/:customer/mcp'];

/**
 * MCP as streamable HTTP, for `SandboxServerOptions.routes`: `/mcp` for the customer of a customer's key, and
 * `/customers/{customer}/mcp` for keys of others; `?tools=direct` or `both` offers the customer's tools themselves.
 *
 * A client that initializes gets a session of the protocol, through which it can be asked something and can cancel; nothing of the
 * customer hangs on it. A client that does not is served all the same, request by request. A client that goes away does
 * not cancel what it has asked for (MCP 2025-11-25, "Transports"): it can come back for the answer.
 */
export function mcpRoutes(options: McpRoutesOptions): (app: FastifyInstance) => Promise<void> {
  return async (app) => {
    const sessions = new HttpSessions();
    app.addHook('preClose', () => sessions.close());
    for (const url of PATHS) {
      app.route({
        method: ['GET', 'POST', 'DELETE'],
        url,
        bodyLimit: BODY_BYTES,
        exposeHeadRoute: false,
        handler: (request, reply) => serve(request, reply, sessions, options),
      });
    }
  };
}

async function serve(
  request: FastifyRequest,
  reply: FastifyReply,
  sessions: HttpSessions,
  options: McpRoutesOptions,
): Promise<void> {
  const { principal, params } = request;
  assertScope(principal, 'mcp');
  const id = customerIn(params, principal);
  const customer = options.cell.customer(id);
  // A session is good for who has opened it alone, whatever else a key may do.
  const owner = `${principal.keyId ?? ''}/${id}`;
  const server = () =>
    createMcpServer(customer, { ...options, tools: toolMode(request), mayApprove: principal.scopes.has('approve') });
  const sessionId = request.headers['mcp-session-id'];
  if (typeof sessionId === 'string') {
    const lastEvent = request.method === 'GET' ? request.headers['last-event-id']?.toString() : undefined;
    await pass(request, reply, sessions.use(sessionId, owner, reply.raw, lastEvent));
  } else if ([request.body].flat().some(isInitializeRequest)) {
    await pass(request, reply, await sessions.open(owner, server()));
  } else if (request.method === 'POST') {
    await pass(request, reply, await single(server()));
  } else throw new WorkcellError('invalid_argument', 'There is no Mcp-Session-Id header; initialize a session first');
}

function customerIn(params: unknown, principal: Principal): CustomerId {
  const { customer: given = principal.customer } = params as { readonly customer?: string };
  if (given !== undefined) return customerOf(principal, given);
  throw new WorkcellError(
    'invalid_argument',
    'This key is not of one customer; name the customer: /customers/{customer}/mcp',
  );
}

/** Its answer is this one request's; a client that goes away misses it. */
async function single(server: Server): Promise<StreamableHTTPServerTransport> {
  const transport = new StreamableHTTPServerTransport();
  await server.connect(transport);
  return transport;
}

async function pass(
  { raw, body }: FastifyRequest,
  reply: FastifyReply,
  transport: StreamableHTTPServerTransport,
): Promise<void> {
  // From here on the answer is the transport's, with what was said of it so far.
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) reply.raw.setHeader(name, value);
  reply.hijack();
  await transport.handleRequest(raw, reply.raw, body);
}

function toolMode({ query }: FastifyRequest): ToolMode {
  const { tools = 'code' } = query as { readonly tools?: unknown };
  const mode = TOOL_MODES.find((each) => each === tools);
  if (mode !== undefined) return mode;
  throw new WorkcellError('invalid_argument', `There are no tools=${String(tools)}; it is ${TOOL_MODES.join(', ')}`);
}
