// A small MCP server over stdio for what the official ones cannot show: it dies, hangs, lies and floods on request.
import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { DoubleSpec } from './spec.ts';

interface Message {
  readonly id?: number | string;
  readonly method?: string;
  readonly params?: {
    readonly cursor?: string;
    readonly name?: string;
    readonly arguments?: Readonly<Record<string, unknown>>;
    readonly requestId?: number | string;
    readonly clientInfo?: unknown;
    readonly protocolVersion?: string;
  };
}

const spec = JSON.parse(process.argv[2] ?? '{}') as DoubleSpec;
let clientInfo: unknown;

const TOOLS: Readonly<Record<string, (args: Args) => Reply>> = {
  die: () => {
    console.error('about to die');
    process.exit(7);
  },
  hang: () => undefined,
  fail: ({ text }) => ({ result: { isError: true, content: [{ type: 'text', text }] } }),
  refuse: ({ text }) => ({ error: { code: -32602, message: `MCP error -32602: ${text}` } }),
  answer: ({ result }) => ({ result }),
  flood: ({ bytes }) => ({ result: { content: [{ type: 'text', text: 'x'.repeat(Number(bytes)) }] } }),
  client_info: () => structured(clientInfo),
  environment: () => structured(process.env),
};

if (spec.exitAtOnce) {
  console.error(`environment: ${Object.keys(process.env).sort().join(' ')}`);
  console.error(`token is ${process.env['TOKEN']}`);
  process.exit(3);
}
if (spec.banner !== undefined) console.log(spec.banner);
if (spec.stubborn) {
  process.on('SIGTERM', () => log('SIGTERM'));
  setInterval(() => {}, 1_000);
}
if (spec.grandchild) log(`grandchild ${spawn('sleep', ['1000'], { stdio: 'ignore' }).pid}`);
log(`started ${process.pid}`);

createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line) as Message;
  log(`${message.method} ${message.params?.name ?? message.params?.requestId ?? ''}`.trim());
  const reply = message.id === undefined ? undefined : handle(message);
  if (reply !== undefined) process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id: message.id, ...reply })}\n`);
});

type Args = Readonly<Record<string, unknown>>;
/** What follows the id of an answer; undefined for no answer. */
type Reply = { readonly result: unknown } | { readonly error: object } | undefined;

function handle({ method, params = {} }: Message): Reply {
  if (method === 'initialize') return initialize(params);
  if (method === 'tools/list') return { result: page(params.cursor) };
  if (method !== 'tools/call') return { error: { code: -32601, message: 'Method not found' } };
  const { name = '', arguments: args = {} } = params;
  const tool = Object.hasOwn(TOOLS, name) ? TOOLS[name] : undefined;
  return tool === undefined ? structured({ name, arguments: args }) : tool(args);
}

function initialize(params: NonNullable<Message['params']>): Reply {
  clientInfo = params.clientInfo;
  if (spec.mute) return undefined;
  const result = {
    protocolVersion: params.protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: 'double', version: '1.2.3', description: 'A double' },
    instructions: 'Be careful',
  };
  return { result };
}

function page(cursor: string | undefined): unknown {
  const tools = spec.toolsFile ? (JSON.parse(readFileSync(spec.toolsFile, 'utf8')) as unknown[]) : (spec.tools ?? []);
  if (spec.endless !== undefined) {
    return { tools: [], nextCursor: spec.endless === 'same-cursor' ? 'again' : `${Number(cursor ?? 0) + 1}` };
  }
  const start = Number(cursor ?? 0);
  const end = start + (spec.pageSize ?? tools.length);
  return { tools: tools.slice(start, end), ...(end < tools.length ? { nextCursor: `${end}` } : {}) };
}

function structured(value: unknown): Reply {
  return { result: { content: [], structuredContent: value } };
}

function log(line: string): void {
  if (spec.log !== undefined) appendFileSync(spec.log, `${line}\n`);
}
