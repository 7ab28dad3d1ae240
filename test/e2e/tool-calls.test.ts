import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cell, openCell } from '../support/cell.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { eventually, isAlive } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const BUDGET = 3;
const number = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'], additionalProperties: false };
const any = { type: 'object' };
const TOOLS = [
  { name: 'typed', inputSchema: number },
  { name: 'echo', inputSchema: any },
  { name: 'hang', inputSchema: any },
  { name: 'fail', inputSchema: any },
];

let cell: Cell;
let folder: TempFolder;

beforeAll(async () => {
  folder = await tempFolder();
  cell = await openCell({
    mcpServers: { double: doubleServer({ tools: TOOLS, log: join(folder.path, 'log') }) },
    limits: { toolCalls: BUDGET, value: 1000 },
  });
});

afterAll(async () => {
  await cell[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const run = (code: string, tools?: string[]) => cell.workcell.customer('ann').execute({ code, tools });
const log = async () => (await readFile(join(folder.path, 'log'), 'utf8')).split('\n');

/** A program that returns what it caught. */
const caught = (call: string) => `
  import { ToolError, callTool } from 'servers/runtime';
  import { echo, fail, hang, typed } from 'servers/double';
  try { return await ${call}; }
  catch (error) {
    const { name, server, tool, code, message, retryable, stack } = error;
    return { isToolError: error instanceof ToolError, name, server, tool, code, message, retryable, stack };
  }`;

describe('a tool call', () => {
  it('reaches the server and is recorded', async () => {
    const result = await run("import { typed } from 'servers/double'; return await typed({ n: 1 });");
    expect(result).toMatchObject({
      status: 'completed',
      value: { name: 'typed', arguments: { n: 1 } },
      selection: { mode: 'imports' },
      calls: [{ seq: 1, server: 'double', tool: 'typed', ok: true }],
    });
  });

  it('of a tool outside of the selection can be caught, and never leaves the host', async () => {
    const before = (await log()).length;
    const result = await run(caught("callTool('double', 'echo', {})"), ['double.typed']);
    expect(result.value).toMatchObject({
      isToolError: true,
      name: 'ToolError',
      server: 'double',
      tool: 'echo',
      code: 'not_selected',
      message:
        'double.echo is not selected for this run; selected tools: double.typed; import it in the program, or name it, to select it',
      retryable: false,
    });
    expect(result.calls).toMatchObject([{ ok: false, error: { code: 'not_selected' } }]);
    expect((await log()).length).toBe(before);
  });

  it.each([["{ n: 'one' }"], ['{}'], ['{ n: 1, extra: 2 }']])(
    'with arguments that do not fit can be caught: %s',
    async (input) => {
      const result = await run(caught(`typed(${input} as any)`));
      expect(result.value).toMatchObject({ isToolError: true, tool: 'typed', code: 'invalid_arguments' });
    },
  );

  it('with arguments beyond the limit can be caught', async () => {
    expect((await run(caught("echo({ text: 'x'.repeat(1000) })"))).value).toMatchObject({
      code: 'arguments_too_large',
    });
  });

  it('that fails and is not caught is the error of the program, at the line of the author', async () => {
    const result = await run("import { fail } from 'servers/double';\n\nawait fail({ text: 'no such file' });");
    expect(result).toMatchObject({
      status: 'failed',
      error: {
        name: 'ToolError',
        message: 'no such file',
        line: 3,
        fields: { server: 'double', tool: 'fail', code: 'tool_failed' },
      },
    });
  });

  it('whose server is killed can be caught, and the next call finds a new one', async () => {
    const running = run(`${caught('hang({})').replace('return await', 'await')}`);
    const pid = await eventually(async () => {
      const lines = await log();
      const last = lines.findLast((line) => line.startsWith('started '));
      return lines.includes('tools/call hang') && last !== undefined ? Number(last.split(' ')[1]) : undefined;
    });
    process.kill(pid, 'SIGKILL');
    expect((await running).value).toMatchObject({
      isToolError: true,
      tool: 'hang',
      code: 'upstream_unavailable',
      message: 'The MCP server "double" was ended by SIGKILL; the call may have taken effect',
      retryable: false,
    });
    expect(isAlive(pid)).toBe(false);
    expect((await run(caught('echo({ again: true })'))).value).toMatchObject({ arguments: { again: true } });
  });

  it('that is still open when the time is up is cancelled at its server', async () => {
    const running = cell.workcell.customer('ann').execute({ code: caught('hang({})'), timeoutMs: 6_000 });
    expect(await running).toMatchObject({ status: 'timed_out', calls: [{ tool: 'hang', ok: false }] });
    await eventually(async () => (await log()).some((line) => line.startsWith('notifications/cancelled')));
  });
});

describe('the budget of calls', () => {
  it('is exactly what was configured', async () => {
    const result = await run(`
      import { echo } from 'servers/double';
      const outcomes = [];
      for (let n = 0; n < ${BUDGET + 2}; n++) outcomes.push(await echo({ n }).then(() => 'ok', (error) => error.code));
      return outcomes;`);
    expect(result.value).toEqual(['ok', 'ok', 'ok', 'budget_exhausted', 'budget_exhausted']);
    expect(result.calls.map(({ ok }) => ok)).toEqual([true, true, true, false, false]);
  });

  it('holds for calls that are made at once', async () => {
    const result = await run(`
      import { echo } from 'servers/double';
      const settled = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => echo({ n })));
      return settled.filter(({ status }) => status === 'fulfilled').length;`);
    expect(result.value).toBe(BUDGET);
    expect(result.calls).toHaveLength(20);
  });

  it('is new for each run', async () => {
    expect((await run(caught('echo({ fresh: 1 })'))).value).toMatchObject({ arguments: { fresh: 1 } });
  });
});

describe('what a tool was used for', () => {
  const ask = (customer: string) => cell.workcell.customer(customer).searchTools('weigh a cat');

  it('is remembered for the customer whose run succeeded with it, without values, and finds it again', async () => {
    const program = "import { typed } from 'servers/double'; return await typed({ n: 1 });";
    const ann = cell.workcell.customer('ann');
    await ann.execute({ task: 'Weigh the cat called "Tom" 2 times', code: program });
    expect(await ann.toolUsage()).toMatchObject([
      { server: 'double', tool: 'typed', tasks: [{ text: 'Weigh the cat called times' }] },
    ]);
    expect((await ask('ann')).hits[0]).toMatchObject({
      tool: 'typed',
      reasons: ['used for 1 similar task: weigh, cat'],
    });
    expect((await ask('bob')).hits).toEqual([]);
  });

  it('is not remembered of a run that failed, and can be forgotten', async () => {
    const bob = cell.workcell.customer('bob');
    const program = "import { typed } from 'servers/double'; await typed({ n: 1 }); throw new Error('no');";
    await bob.execute({ task: 'Weigh the cat', code: program });
    expect(await bob.toolUsage()).toEqual([]);
    const ann = cell.workcell.customer('ann');
    await ann.clearToolUsage();
    expect(await ann.toolUsage()).toEqual([]);
    expect((await ask('ann')).hits).toEqual([]);
  });
});
