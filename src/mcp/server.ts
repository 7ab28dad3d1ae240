import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import {
  CallToolRequestSchema,
  type CallToolResult,
  ErrorCode,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListToolsRequestSchema,
  McpError,
  ReadResourceRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { Customer } from '../workcell/customer.ts';
import { type AskPerson, askPersonOf } from './ask-person.ts';
import { DirectTools } from './direct-tools.ts';
import { registerExecution } from './execute-code.ts';
import { ExecutionParts } from './execution-parts.ts';
import type { ResourcePage, ResourceSource } from './resource-source.ts';
import { registerSearchTools } from './search-tools.ts';
import { registerSkills } from './skills.ts';
import { type OnProblem, tellableMessage } from './tool-answer.ts';
import { type ToolSource, ToolTable } from './tool-table.ts';
import { WorkspaceFiles } from './workspace-files.ts';

export const TOOL_MODES = ['code', 'direct', 'both'] as const;

/** `code`: few tools, of which one runs programs that call the customer's; `direct`: the customer's tools themselves. */
export type ToolMode = (typeof TOOL_MODES)[number];

export interface McpServerOptions {
  /** Of this package. */
  readonly version: string;
  /** Default `code`. */
  readonly tools?: ToolMode | undefined;
  /** Whether the person behind the client decides on calls that have to be approved, where the client can ask. */
  readonly mayApprove: boolean;
  readonly onProblem: OnProblem;
  /** What is offered on top. */
  readonly more?: { readonly tools: ToolSource; readonly resources: ResourceSource };
}

const INSTRUCTIONS =
  'Find tools with search_tools, then call them from one program with execute_code, instead of one by one. Programs keep files in /workspace; work that may be needed again is saved with save_skill.';

/**
 * Offers a customer's tools and sandbox to any agent that speaks the Model Context Protocol: few tools with little text, as an
 * agent reads them before every task. What a program does wrong is told to the model as a tool's error, which it can mend.
 */
export function createMcpServer(customer: Customer, options: McpServerOptions): Server {
  const { version, tools: mode = 'code', mayApprove, onProblem, more } = options;
  const server = new Server(
    { name: 'workcell', title: 'Workcell', version },
    {
      capabilities: { tools: mode === 'code' ? {} : { listChanged: true }, resources: {} },
      ...(mode === 'direct' ? {} : { instructions: INSTRUCTIONS }),
    },
  );
  const ask = askPersonOf({ server, customer, mayApprove });
  const tools: ToolSource[] = [];
  if (mode !== 'direct') tools.push(codeTools(customer, ask));
  if (mode !== 'code') {
    tools.push(new DirectTools(customer, ask));
    followTools(server, customer);
  }
  const resources: ResourceSource[] = [new ExecutionParts(customer), new WorkspaceFiles(customer)];
  if (more !== undefined) {
    tools.push(more.tools);
    resources.unshift(more.resources);
  }
  serveTools(server, tools, onProblem);
  serveResources(server, resources, onProblem);
  return server;
}

function codeTools(customer: Customer, ask: AskPerson): ToolSource {
  const tools = new ToolTable();
  registerSearchTools(tools, customer);
  registerExecution(tools, customer, ask);
  registerSkills(tools, customer);
  return tools;
}

/** Tells a client that stays of changes to the customer's tools. */
function followTools(server: Server, customer: Customer): void {
  server.oninitialized = () => {
    server.onclose = customer.onToolsChanged(() => void server.sendToolListChanged().catch(() => {}));
  };
}

function serveTools(server: Server, sources: readonly ToolSource[], onProblem: OnProblem): void {
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: sources.flatMap((source) => source.list()) }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra): Promise<CallToolResult> => {
    const { name, arguments: args = {} } = params;
    const call = sources.map((source) => source.find(name)).find((found) => found !== undefined);
    if (call === undefined) throw new McpError(ErrorCode.InvalidParams, `There is no tool ${JSON.stringify(name)}`);
    try {
      return await call(args, extra);
    } catch (error) {
      // The protocol itself is fine: the model is told, which can do something about it.
      return { content: [{ type: 'text', text: tellableMessage(error, onProblem) }], isError: true };
    }
  });
}

function serveResources(server: Server, sources: readonly ResourceSource[], onProblem: OnProblem): void {
  const telling = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      const code = isWorkcellError(error) ? PROTOCOL_CODES[error.code] : undefined;
      throw new McpError(code ?? ErrorCode.InternalError, tellableMessage(error, onProblem));
    }
  };
  server.setRequestHandler(ListResourcesRequestSchema, ({ params }) =>
    telling(async () => {
      const { resources, next } = await listAll(sources, params?.cursor);
      return { resources: [...resources], ...(next === undefined ? {} : { nextCursor: next }) };
    }),
  );
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: sources.map(({ template }) => template),
  }));
  server.setRequestHandler(ReadResourceRequestSchema, ({ params: { uri } }) =>
    telling(async () => {
      for (const source of sources) {
        const contents = source.read(uri);
        if (contents !== undefined) return { contents: [await contents] };
      }
      throw new WorkcellError('not_found', `There is no resource ${JSON.stringify(uri)}`);
    }),
  );
}

/** What a client can mend is no failure of the server (MCP 2025-11-25, "Resources", "Error Handling"). */
const PROTOCOL_CODES: Readonly<Record<string, number>> = {
  not_found: -32002,
  invalid_argument: ErrorCode.InvalidParams,
  invalid_state: ErrorCode.InvalidParams,
};

/** One source after the other; a cursor is `<number of the source>:<the source's own>`. */
async function listAll(sources: readonly ResourceSource[], cursor: string | undefined): Promise<ResourcePage> {
  const [, number = '', inner = ''] = /^(\d+):(.*)$/s.exec(cursor ?? '0:') ?? [];
  const index = Number.parseInt(number, 10);
  const source = sources[index];
  if (source === undefined)
    throw new WorkcellError('invalid_argument', 'There is no page of resources with this cursor');
  const { resources, next } = await source.list(inner === '' ? undefined : inner);
  if (next !== undefined) return { resources, next: `${index}:${next}` };
  const following = index + 1 < sources.length ? `${index + 1}:` : undefined;
  return resources.length > 0 || following === undefined ? { resources, next: following } : listAll(sources, following);
}
