// A small MCP server over stdio for what the official ones cannot show: it dies, hangs, lies and floods on request.
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
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
    readonly uri?: string;
    readonly _meta?: { readonly progressToken?: unknown; readonly [key: string]: unknown };
  };
}

const spec = JSON.parse(process.argv[2] ?? '{}') as DoubleSpec;
let clientInfo: unknown;
let isDeaf = false;
let meta: Readonly<Record<string, unknown>> = {};

const TOOLS: Readonly<Record<string, (args: Args) => Reply>> = {
  die: () => {
    console.error('about to die');
    process.exit(7);
  },
  hang: () => undefined,
  /** Answers nothing from here on, not even a ping. */
  go_deaf: () => {
    isDeaf = true;
    return undefined;
  },
  /** Dies as often as it is told to, over all processes, and then answers. */
  die_until: ({ file, times }) => {
    const path = String(file);
    const before = existsSync(path) ? readFileSync(path, 'utf8').length : 0;
    if (before >= Number(times)) return structured({ died: before });
    appendFileSync(path, 'x');
    process.exit(7);
  },
  progress: ({ steps, text }) => {
    for (let step = 1; step <= Number(steps); step++) {
      notify('notifications/progress', {
        progressToken: meta['progressToken'],
        progress: step,
        total: steps,
        message: text,
      });
    }
    return structured({ steps });
  },
  announce: () => {
    notify('notifications/tools/list_changed', {});
    return structured(null);
  },
  complain: ({ text }) => {
    process.stderr.write(String(text));
    return structured(null);
  },
  fail: ({ text }) => ({ result: { isError: true, content: [{ type: 'text', text }] } }),
  refuse: ({ text }) => ({ error: { code: -32602, message: `MCP error -32602: ${text}` } }),
  answer: ({ result }) => ({ result }),
  flood: ({ bytes }) => ({ result: { content: [{ type: 'text', text: 'x'.repeat(Number(bytes)) }] } }),
  /** What came beside the arguments. */
  meta: () => structured(meta),
  client_info: () => structured(clientInfo),
  environment: () => structured(process.env),
};

if (spec.exitAtOnce) {
  console.error(`environment: ${Object.keys(process.env).sort().join(' ')}`);
  console.error(`token is ${process.env['TOKEN']}`);
  process.exit(3);
}
if (spec.downWhile !== undefined && existsSync(spec.downWhile)) process.exit(9);
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
  const reply = message.id === undefined || isDeaf ? undefined : handle(message);
  if (reply !== undefined) process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id: message.id, ...reply })}\n`);
});

type Args = Readonly<Record<string, unknown>>;
/** What follows the id of an answer; undefined for no answer. */
type Reply = { readonly result: unknown } | { readonly error: object } | undefined;

function handle({ method, params = {} }: Message): Reply {
  if (method === 'initialize') return initialize(params);
  if (method === 'tools/list') return { result: page(params.cursor) };
  if (method === 'ping') return { result: {} };
  if (method === 'resources/list' && spec.resources !== undefined) {
    return { result: { resources: spec.resources, ...(spec.resourcesEndless ? { nextCursor: 'again' } : {}) } };
  }
  if (method === 'resources/read' && spec.resources !== undefined) {
    if (!spec.resources.some(({ uri }) => uri === params.uri))
      return { error: { code: -32002, message: 'No such resource' } };
    return { result: { contents: [{ uri: params.uri, text: `text of ${params.uri}` }] } };
  }
  if (method === 'prompts/list' && spec.prompts !== undefined) return { result: { prompts: spec.prompts } };
  if (method === 'prompts/get' && spec.prompts !== undefined) {
    const content = { type: 'text', text: `${params.name} ${JSON.stringify(params.arguments ?? {})}` };
    return { result: { description: 'A prompt', messages: [{ role: 'user', content }] } };
  }
  if (method !== 'tools/call') return { error: { code: -32601, message: 'Method not found' } };
  const { name = '', arguments: args = {} } = params;
  meta = params._meta ?? {};
  const tool = Object.hasOwn(TOOLS, name) ? TOOLS[name] : undefined;
  return tool === undefined ? structured({ name, arguments: args }) : tool(args);
}

function initialize(params: NonNullable<Message['params']>): Reply {
  clientInfo = params.clientInfo;
  if (spec.mute) return undefined;
  const result = {
    protocolVersion: params.protocolVersion,
    capabilities: {
      tools: { listChanged: true },
      ...(spec.resources ? { resources: {} } : {}),
      ...(spec.prompts ? { prompts: {} } : {}),
    },
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

function notify(method: string, params: unknown): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', method, params })}\n`);
}

function structured(value: unknown): Reply {
  return { result: { content: [], structuredContent: value } };
}

function log(line: string): void {
  if (spec.log !== undefined) appendFileSync(spec.log, `${line}\n`);
}
