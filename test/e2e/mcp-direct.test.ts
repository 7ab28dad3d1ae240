import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type CallToolResult,
  type Progress,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiServer, openApiServer } from '../support/api-server.ts';
import { connectHttp, type HttpClient, textOf } from '../support/mcp-client.ts';
import { PNG } from '../support/mcp-conformance/fixture-tools.ts';
import { doubleServer, officialServers } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const anything = { type: 'object' };
const INPUT = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: { n: { type: 'number', exclusiveMinimum: 0 } },
  properties: { n: { $ref: '#/$defs/n' } },
  required: ['n'],
  additionalProperties: false,
};
const TOOLS = [
  {
    name: 'answer',
    description: 'Answers what it is told',
    inputSchema: anything,
    annotations: { readOnlyHint: true },
  },
  { name: 'count', title: 'Count', description: 'Counts', inputSchema: INPUT, outputSchema: anything },
  { name: 'fail', description: 'Fails', inputSchema: anything },
  { name: 'hang', description: 'Never answers', inputSchema: anything },
  { name: 'announce', description: 'Says that the tools have changed', inputSchema: anything },
  { name: 'progress', description: 'Tells of its progress', inputSchema: anything },
  { name: 'meta', description: 'Tells what it was told besides', inputSchema: anything },
];

let folder: TempFolder;
let log: string;
let server: ApiServer;
let direct: HttpClient;
let key: string;

beforeAll(async () => {
  folder = await tempFolder();
  log = join(folder.path, 'log');
  const toolsFile = join(folder.path, 'tools.json');
  await writeFile(toolsFile, JSON.stringify(TOOLS));
  const { memory } = officialServers(folder.path);
  server = await openApiServer({ driver: 'quiet', mcpServers: { double: doubleServer({ toolsFile, log }), memory } });
  key = (await server.store.create({ name: 'ann', role: 'customer', customer: 'ann' })).secret.reveal();
  direct = await connectHttp(`${server.url}/mcp?tools=direct`, key);
});

afterAll(async () => {
  await direct?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

async function call(name: string, args: Record<string, unknown>): Promise<CallToolResult> {
  return (await direct.client.callTool({ name, arguments: args })) as CallToolResult;
}

async function logged(): Promise<readonly Record<string, unknown>[]> {
  const sessions = join(server.folder, 'workspaces/ann/sessions');
  const files = (await readdir(sessions)).filter((name) => name.endsWith('.jsonl'));
  const texts = await Promise.all(files.map((name) => readFile(join(sessions, name), 'utf8')));
  return texts.flatMap((text) => text.trim().split('\n')).map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("the MCP server that offers the customer's tools themselves", () => {
  it('lists them with their own schemas and annotations, sorted, and without those that only programs can call', async () => {
    const { tools } = await direct.client.listTools();
    const names = tools.map(({ name }) => name);
    expect(names).toEqual([...names].sort());
    expect(names).toEqual(expect.arrayContaining(['double__count', 'memory__create_entities']));
    expect(names.filter((name) => /^(calculator__|execute_code)/.test(name))).toEqual([]);
    expect(tools.find(({ name }) => name === 'double__count')).toEqual({
      name: 'double__count',
      description: 'Counts',
      inputSchema: INPUT,
      outputSchema: anything,
    });
    expect(tools.find(({ name }) => name === 'double__answer')?.annotations).toEqual({ readOnlyHint: true });
    expect((await direct.client.listTools()).tools).toEqual(tools);
  });

  it('offers both on request, programs first', async () => {
    await using both = await connectHttp(`${server.url}/mcp?tools=both`, key);
    const names = (await both.client.listTools()).tools.map(({ name }) => name);
    expect(names.slice(0, 2)).toEqual(['search_tools', 'execute_code']);
    expect(names).toContain('double__count');
    expect((await server.call('POST', '/mcp?tools=none', { key, body: {} })).status).toBe(400);
  });

  it('passes results on as they come, images, resources and links too', async () => {
    const result = {
      content: [
        { type: 'text', text: 'see', annotations: { priority: 1 } },
        { type: 'image', data: PNG, mimeType: 'image/png' },
        { type: 'resource', resource: { uri: 'x://1', mimeType: 'text/plain', text: 'embedded' } },
        { type: 'resource_link', uri: 'x://2', name: 'linked' },
      ],
      structuredContent: { n: 1 },
    };
    expect(await call('double__answer', { result })).toEqual(result);
    const odd = { content: [{ type: 'hologram', depth: 3 }] };
    expect(await call('double__answer', { result: odd })).toEqual({
      content: [{ type: 'text', text: JSON.stringify(odd.content[0]) }],
    });
    // Of data alone, a model would see nothing.
    const data = { content: [], structuredContent: { n: 1 } };
    expect(await call('double__answer', { result: data })).toEqual({
      ...data,
      content: [{ type: 'text', text: '{"n":1}' }],
    });
  });

  it('refuses what a program could not call, either, and tells the errors of tools', async () => {
    const wrong = await call('double__count', { n: 0 });
    expect([wrong.isError, textOf(wrong)]).toEqual([true, 'invalid_arguments: double.count: n must be > 0']);
    const failed = await call('double__fail', { text: 'out of paper' });
    expect([failed.isError, textOf(failed)]).toEqual([true, 'tool_failed: out of paper']);
    await expect(call('double__nosuch', {})).rejects.toThrow('There is no tool "double__nosuch"');
  });

  it('keeps each call in a session, with the program that makes the same call', async () => {
    await call('double__count', { n: 12 });
    const events = await logged();
    const started = events.find(
      ({ type, program }) => type === 'execution.started' && String(program).endsWith('return await count({"n":12});'),
    );
    const ofIt = events.filter(({ executionId }) => executionId === started?.['executionId']);
    expect(ofIt).toMatchObject([
      {
        type: 'execution.started',
        program: 'import { count } from \'servers/double\';\n\nreturn await count({"n":12});',
      },
      { type: 'tool.called', server: 'double', tool: 'count', arguments: { n: 12 } },
      { type: 'tool.returned', ok: true },
      { type: 'execution.finished', status: 'completed', value: { name: 'count', arguments: { n: 12 } } },
    ]);
  });

  it('tells how far a call is, and cancels it', async () => {
    const seen: Progress[] = [];
    await direct.client.callTool({ name: 'double__progress', arguments: { steps: 3, text: 'on it' } }, undefined, {
      onprogress: (progress) => seen.push(progress),
    });
    expect(seen.at(-1)).toEqual({ progress: 3, total: 3, message: 'on it' });

    const aborter = new AbortController();
    const running = direct.client.callTool({ name: 'double__hang', arguments: {} }, undefined, {
      signal: aborter.signal,
    });
    const outcome = running.catch((error: unknown) => error);
    await eventually(async () => (await readFile(log, 'utf8')).includes('tools/call hang'));
    aborter.abort();
    expect(await outcome).toBeInstanceOf(Error);
    await eventually(async () => (await readFile(log, 'utf8')).includes('notifications/cancelled'));
  });

  it("hands on where a call belongs among the client's traces", async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const params = { name: 'double__meta', arguments: {}, _meta: { traceparent, tracestate: 'x=1' } };
    const { structuredContent } = await direct.client.callTool(params);
    expect(structuredContent).toMatchObject({ traceparent, tracestate: 'x=1' });
    const without = await call('double__meta', {});
    expect(without.structuredContent).not.toHaveProperty('traceparent');
  });

  it('says that the tools have changed when they have', async () => {
    const { promise: told, resolve } = Promise.withResolvers<void>();
    direct.client.setNotificationHandler(ToolListChangedNotificationSchema, () => resolve());
    const added = { name: 'added', description: 'Is new', inputSchema: anything };
    await writeFile(join(folder.path, 'tools.json'), JSON.stringify([...TOOLS, added]));
    await call('double__announce', {});
    await told;
    const names = (await direct.client.listTools()).tools.map(({ name }) => name);
    expect(names).toContain('double__added');
  });
});
