import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import type { CallToolResult, Progress } from '@modelcontextprotocol/sdk/types.js';
import { countTokens as cl100k } from 'gpt-tokenizer/encoding/cl100k_base';
import { countTokens as o200k } from 'gpt-tokenizer/encoding/o200k_base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeConfig } from '../support/cell-config.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const CLI = join(import.meta.dirname, '../../dist/cli/main.js');
const number = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] };

let folder: TempFolder;
let config: string;
let client: Client;

beforeAll(async () => {
  folder = await tempFolder();
  const tools = [
    { name: 'double_number', description: 'Doubles a number', inputSchema: number },
    { name: 'hang', description: 'Never answers', inputSchema: { type: 'object' } },
  ];
  config = await writeConfig(folder.path, {
    mcpServers: { maths: doubleServer({ tools, log: join(folder.path, 'log') }) },
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
  });
  client = new Client({ name: 'an agent', version: '1' });
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [CLI, '--config', config, 'mcp', '--customer', 'ann'],
    }),
  );
});

afterAll(async () => {
  await client?.close();
  await folder?.[Symbol.asyncDispose]();
});

async function call(name: string, args: Record<string, unknown>): Promise<CallToolResult> {
  return (await client.callTool({ name, arguments: args })) as CallToolResult;
}

function textOf({ content }: CallToolResult): string {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('\n');
}

describe('the MCP server', () => {
  it('offers few tools, with little text, in the same order each time', async () => {
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      'search_tools',
      'execute_code',
      'get_execution',
      'search_skills',
      'save_skill',
    ]);
    for (const count of [o200k, cl100k]) expect(count(JSON.stringify(tools))).toBeLessThanOrEqual(1_200);
    for (const { annotations, outputSchema } of tools) {
      expect(annotations).toHaveProperty('readOnlyHint');
      expect(outputSchema).toHaveProperty('properties');
    }
    expect((await client.listTools()).tools).toEqual(tools);
  });

  it('offers the tools themselves when it is told to', async () => {
    const args = [CLI, '--config', config, 'mcp', '--customer', 'ann', '--tools', 'direct'];
    const direct = new Client({ name: 'an agent', version: '1' });
    await direct.connect(new StdioClientTransport({ command: process.execPath, args }));
    try {
      const { tools } = await direct.listTools();
      expect(tools.map(({ name }) => name)).toEqual(['maths__double_number', 'maths__hang']);
      const result = await direct.callTool({ name: 'maths__double_number', arguments: { n: 2 } });
      expect(result.structuredContent).toEqual({ name: 'double_number', arguments: { n: 2 } });
    } finally {
      await direct.close();
    }
  });

  it('lets an agent find a tool, call it wrongly, mend its program, and save it', async () => {
    const found = await call('search_tools', { queries: ['double a number'] });
    const [hit] = (found.structuredContent as { tools: { text: string }[] }).tools;
    expect(textOf(found)).toContain(hit?.text);
    expect(textOf(found)).toContain("import { doubleNumber } from 'servers/maths'");
    expect(textOf(found)).toContain('n: number');

    const wrong = await call('execute_code', {
      code: "import { doubleNumber } from 'servers/maths';\nconsole.log('ran');\nreturn await doubleNumber({ m: 2 });",
    });
    expect(wrong.isError).toBe(true);
    expect(textOf(wrong)).toMatch(/^failed[\s\S]*'m' does not exist[\s\S]*program\.ts:3:29/);
    expect(wrong.structuredContent).toMatchObject({
      status: 'failed',
      output: '',
      error: { name: 'TypeCheckError', line: 3 },
    });
    const lookUp = ({ structuredContent }: CallToolResult) =>
      call('get_execution', { execution_id: (structuredContent as { execution_id: string }).execution_id });
    expect(await lookUp(wrong)).toEqual(wrong);

    const right = await call('execute_code', {
      code: "import { doubleNumber } from 'servers/maths';\nconsole.log('ran');\nreturn (await doubleNumber({ n: 2 })).arguments;",
      session: 'sums',
    });
    expect(right.isError).toBeUndefined();
    expect(right.structuredContent).toMatchObject({
      status: 'completed',
      session: 'sums',
      value: { n: 2 },
      output: 'ran\n',
      truncated: false,
    });
    expect(textOf(right)).toContain('calls: maths.double_number');

    const id = (right.structuredContent as { execution_id: string }).execution_id;
    const saved = await call('save_skill', {
      name: 'double-two',
      execution_id: id,
      description: 'Doubles the number two',
    });
    expect(textOf(saved)).toBe("Saved; import it from 'skills/double-two'");
    expect(textOf(await call('search_skills', { query: 'double the number two' }))).toContain('double-two: Doubles');
    const again = await call('execute_code', { code: "import { run } from 'skills/double-two'; return await run();" });
    expect(again.structuredContent).toMatchObject({ status: 'completed', value: { n: 2 } });
    expect(await lookUp(right)).toEqual(right);
  });

  it('runs Python, and tells what a program raised', async () => {
    const raised = await call('execute_code', {
      language: 'python',
      code: "print('before')\nraise ValueError('too small')",
    });
    expect(raised.structuredContent).toMatchObject({
      status: 'failed',
      output: 'before\n',
      error: { name: 'ValueError', message: 'too small', line: 2 },
    });
  });

  it('runs nothing of a Python program that calls a tool wrongly', async () => {
    const code = "from servers.maths import double_number\nprint('ran')\nresult = double_number(n='2')";
    const wrong = await call('execute_code', { language: 'python', code });
    expect(textOf(wrong)).toMatch(/^failed[\s\S]*n of double_number\(\) is '2', not float[\s\S]*program\.py:3:26/);
    expect(wrong.structuredContent).toMatchObject({
      status: 'failed',
      output: '',
      error: { name: 'TypeCheckError', line: 3 },
    });
  });

  it('tells errors of the call to the model, as text', async () => {
    expect(textOf(await call('get_execution', { execution_id: 'exe_nosuch' }))).toBe(
      'not_found: There is no execution "exe_nosuch"; take the execution_id from an answer of execute_code',
    );
    for (const [name, args] of [
      ['get_execution', { execution_id: 'exe_nosuch' }],
      ['execute_code', { code: 'return 1', session: '../up' }],
      ['execute_code', { code: 'return 1', timeout_ms: 0 }],
      ['save_skill', { name: 'Not A Name', execution_id: 'x', description: '' }],
    ] as const) {
      const { isError, content } = await call(name, args);
      expect({ name, isError, text: textOf({ content }).length > 20 }).toEqual({ name, isError: true, text: true });
    }
  });

  it('shows the ends of what is too long, and gives the whole as a resource', async () => {
    const { content, structuredContent } = await call('execute_code', {
      code: "console.log('first'); console.log('😀'.repeat(20_000)); console.log('last'); return 'v'.repeat(50_000);",
    });
    expect(structuredContent).toMatchObject({ truncated: true });
    expect(structuredContent).not.toHaveProperty('value');
    expect(textOf({ content }).length).toBeLessThan(30_000);
    expect(textOf({ content })).toMatch(/output:\nfirst\n[\s\S]*characters left out[\s\S]*last/);
    expect(textOf({ content })).toBe(textOf({ content }).toWellFormed());
    const links = content.filter((block) => block.type === 'resource_link');
    const [value, output] = await Promise.all(links.map(({ uri }) => client.readResource({ uri })));
    expect(value?.contents).toMatchObject([{ mimeType: 'application/json', text: JSON.stringify('v'.repeat(50_000)) }]);
    expect(output?.contents).toMatchObject([{ text: `first\n${'😀'.repeat(20_000)}\nlast\n` }]);
  });

  it('reads files of the workspace, and nothing beside it', async () => {
    await call('execute_code', {
      code: "const fs = require('node:fs'); fs.mkdirSync('sub', { recursive: true }); fs.writeFileSync('sub/a b.txt', 'héllo'); fs.writeFileSync('raw', Buffer.from([0xff, 0])); fs.symlinkSync('/etc/passwd', 'link');",
    });
    expect((await client.listResources()).resources.map(({ uri }) => uri)).toContain('workcell://workspace/raw');
    expect((await client.readResource({ uri: 'workcell://workspace/sub/a%20b.txt' })).contents).toMatchObject([
      { text: 'héllo' },
    ]);
    expect((await client.readResource({ uri: 'workcell://workspace/raw' })).contents).toMatchObject([{ blob: '/wA=' }]);
    for (const path of ['link', '../sessions', '%2e%2e/sessions', '/etc/passwd', 'nosuch'])
      await expect(client.readResource({ uri: `workcell://workspace/${path}` })).rejects.toThrow();
  });

  it('tells how far a call is, and ends its program when the client cancels', async () => {
    const seen: Progress[] = [];
    const code = "import { hang } from 'servers/maths'; await hang({});";
    const aborter = new AbortController();
    const running = client.callTool({ name: 'execute_code', arguments: { code, session: 'hangs' } }, undefined, {
      onprogress: (progress) => seen.push(progress),
      signal: aborter.signal,
    });
    running.catch(() => {});
    await eventually(() => seen.some(({ message }) => message === 'call 1: maths.hang'));
    await eventually(async () => (await readFile(join(folder.path, 'log'), 'utf8')).includes('tools/call hang'));
    aborter.abort();
    await expect(running).rejects.toThrow();
    expect(seen.map(({ progress }) => progress)).toEqual(seen.map((_, index) => index + 1));
    await eventually(async () =>
      (await readFile(join(folder.path, 'log'), 'utf8')).includes('notifications/cancelled'),
    );
    const log = join(folder.path, 'workspaces/ann/sessions/hangs.jsonl');
    await eventually(async () => /"execution.finished".*"status":"killed"/.test(await readFile(log, 'utf8')));
  });
});
