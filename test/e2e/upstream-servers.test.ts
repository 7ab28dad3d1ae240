// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the notation of the configuration
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecutionEvent } from '../../src/core/execution.ts';
import { Secret } from '../../src/util/secret.ts';
import { openCredentialStore } from '../../src/workcell/upstream-tools.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const entry = (name: string) => ({ name, inputSchema: { type: 'object' } });

let cell: Cell;
let folder: TempFolder;

beforeAll(async () => {
  folder = await tempFolder();
  const spec = {
    tools: [entry('hang'), entry('progress'), entry('secret')],
    resources: [{ uri: 'note://1', name: 'One' }],
    log: join(folder.path, 'log'),
  };
  cell = await openCell({
    mcpServers: {
      double: doubleServer(spec, { excludeTools: ['secret'] }),
      own: doubleServer({ tools: [entry('environment')] }, { env: { TOKEN: new Secret('${customer:token}') } }),
    },
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
  });
  const store = openCredentialStore(cell.workcell.loaded.config);
  await store.set('default', 'token', new Secret('token-of-nobody'));
  for (const customer of ['ann', 'bob']) await store.set({ customer }, 'token', new Secret(`token-of-${customer}`));
  await cell.workcell.syncTools(['own']);
});

afterAll(async () => {
  await cell[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const run = (code: string, options: { customer?: string; onEvent?: (event: ExecutionEvent) => void } = {}) =>
  cell.workcell.customer(options.customer ?? 'ann').execute({ code, onEvent: options.onEvent });
const log = async () => (await readFile(join(folder.path, 'log'), 'utf8')).split('\n');

describe('a program', () => {
  it('gives up a call with a signal, goes on, and the server is told', async () => {
    const running = run(`
      import { existsSync } from 'node:fs';
      import { callTool } from 'servers/runtime';
      import { hang } from 'servers/double';
      const leaving = new AbortController();
      const failing = callTool('double', 'hang', {}, { signal: leaving.signal }).catch((error) => error.name);
      while (!existsSync('go-on')) await new Promise((resolve) => setTimeout(resolve, 10));
      leaving.abort(new DOMException('It took too long', 'TimeoutError'));
      const reason = await failing;
      const early = await callTool('double', 'hang', {}, { signal: AbortSignal.abort() }).catch((error) => error.name);
      return [reason, early];`);
    // What is given up before it was sent is nothing that the server is told of.
    await eventually(async () => (await log().catch((): string[] => [])).includes('tools/call hang'));
    await cell.workcell.customer('ann').files.write('go-on', '');
    const result = await running;
    expect(result).toMatchObject({ status: 'completed', value: ['TimeoutError', 'AbortError'] });
    expect(result.calls).toMatchObject([{ tool: 'hang', ok: false, error: { code: 'cancelled' } }]);
    await eventually(async () => (await log()).some((line) => line.startsWith('notifications/cancelled')));
  });

  it('that ends with a call open has it cancelled at the server', async () => {
    const before = (await log()).filter((line) => line.startsWith('notifications/cancelled')).length;
    const result = await run(`
      import { hang, progress } from 'servers/double';
      void hang({});
      await progress({ steps: 1 });
      throw new Error('over');`);
    expect(result).toMatchObject({
      status: 'failed',
      calls: [{ tool: 'hang', error: { code: 'cancelled' } }, { ok: true }],
    });
    await eventually(
      async () => (await log()).filter((line) => line.startsWith('notifications/cancelled')).length === before + 1,
    );
  });

  it('has the progress of its calls among its events', async () => {
    const events: ExecutionEvent[] = [];
    await run("import { progress } from 'servers/double'; return await progress({ steps: 50, text: 'at it' });", {
      onEvent: (event) => events.push(event),
    });
    const told = events.filter((event) => event.type === 'tool.progress');
    expect(told[0]).toMatchObject({ call: 1, progress: 1, total: 50, message: 'at it' });
    expect(told.at(-1)).toMatchObject({ call: 1, progress: 50, total: 50 });
    // What comes too fast is left out.
    expect(told.length).toBeLessThan(50);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  });

  it('reads resources through the module of the server', async () => {
    const result = await run(`
      import { listResources, readResource } from 'servers/double';
      const { resources } = await listResources();
      const { contents } = await readResource({ uri: resources[0].uri });
      return contents[0].text;`);
    expect(result).toMatchObject({ status: 'completed', value: 'text of note://1' });
    expect(result.calls.map(({ tool }) => tool)).toEqual(['list_resources', 'read_resource']);
  });

  it('cannot call what its filter leaves out, and no server hears of it', async () => {
    const result = await run(`
      import { callTool } from 'servers/runtime';
      return await callTool('double', 'secret', {}).catch(({ code, message }) => ({ code, message }));`);
    expect(result.value).toMatchObject({ code: 'not_selected' });
    expect((await log()).filter((line) => line.includes('secret'))).toEqual([]);
  });

  it("reaches a server with its own customer's credential, also at the same time as another", async () => {
    const code = "import { environment } from 'servers/own'; return (await environment({})).TOKEN;";
    const results = await Promise.all(['ann', 'bob', 'ann', 'bob'].map((customer) => run(code, { customer })));
    expect(results.map(({ value }) => value)).toEqual(['ann', 'bob', 'ann', 'bob'].map((id) => `token-of-${id}`));
    const carl = await run(code, { customer: 'carl' });
    expect(carl).toMatchObject({
      status: 'failed',
      error: {
        name: 'ToolError',
        message: expect.stringContaining('workcell credential set token --customer carl'),
        fields: { code: 'credential_missing' },
      },
    });
  });
});
