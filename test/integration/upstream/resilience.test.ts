import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkcellError } from '../../../src/core/errors.ts';
import type { ToolOutcome, ToolProgress } from '../../../src/core/tool-error.ts';
import { type UpstreamCall, UpstreamHub, type UpstreamHubOptions } from '../../../src/upstream/upstream-hub.ts';
import { customerMark } from '../../../src/util/customer-value.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { Secret } from '../../../src/util/secret.ts';
import { doubleServer, stdioServer } from '../../support/mcp-servers.ts';
import { descendants, eventually } from '../../support/processes.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let hub: UpstreamHub;
let problems: WorkcellError[];
let changed: string[];

beforeEach(async () => {
  folder = await tempFolder();
  problems = [];
  changed = [];
});

afterEach(async () => {
  await hub.close();
  expect(await descendants()).toEqual([]);
  await folder[Symbol.asyncDispose]();
});

function start(servers: UpstreamHubOptions['servers'], options: Partial<UpstreamHubOptions> = {}): void {
  hub = new UpstreamHub({
    servers,
    onProblem: (_server, error) => problems.push(error),
    onToolsChanged: (server) => changed.push(server),
    ...options,
  });
}

const call = (
  tool: string,
  args: Record<string, unknown> = {},
  more: Partial<UpstreamCall> = {},
): Promise<ToolOutcome> => hub.callTool({ server: 'double', tool, arguments: args, ...more });
const logPath = () => join(folder.path, 'double.log');
const lines = async (line: string) =>
  (await readFile(logPath(), 'utf8').catch(() => '')).split('\n').filter((each) => each === line).length;
const starts = async () => (await readFile(logPath(), 'utf8').catch(() => '')).match(/^started /gm)?.length ?? 0;
const downFile = () => join(folder.path, 'down');
const entry = (name: string) => ({ name, inputSchema: { type: 'object' } });

describe('the breaker', () => {
  it('opens after three failures of the transport, and answers at once from then on', async () => {
    start({ double: stdioServer('no-such-command', []) }, { breaker: { coolMs: 60_000 }, reconnectMs: 60_000 });
    for (let i = 0; i < 3; i++) expect(await call('x')).toMatchObject({ error: { code: 'upstream_unavailable' } });
    expect(hub.status('double')).toMatchObject({ state: 'down', breaker: 'open', retryInMs: expect.any(Number) });
    expect(await call('x')).toMatchObject({
      ok: false,
      error: {
        code: 'upstream_unavailable',
        message: expect.stringMatching(
          /^The MCP server "double" has a command that was not found; it has failed several times in a row and is tried again in \d+ s$/,
        ),
        retryable: true,
      },
    });
    // Told once: the reason is the same each time.
    expect(problems).toHaveLength(1);
  });

  it('is not opened by errors of tools, wrong arguments, errors of the protocol, nor calls that take too long', async () => {
    start({ double: doubleServer({ log: logPath() }) }, { breaker: { failures: 1, coolMs: 60_000 } });
    for (let i = 0; i < 3; i++) {
      expect(await call('fail', { text: 'no' })).toMatchObject({ error: { code: 'tool_failed' } });
      expect(await call('refuse', { text: 'no' })).toMatchObject({ error: { code: 'tool_failed' } });
      expect(await call('hang', {}, { timeoutMs: 50 })).toMatchObject({ error: { code: 'timeout' } });
    }
    await eventually(async () => (await lines('ping')) === 3);
    expect(hub.status('double')).toMatchObject({ state: 'connected', breaker: 'closed' });
    expect(await starts()).toBe(1);
  });

  it('closes with the first answer when the server is back, which is found out without a call', async () => {
    await writeFile(downFile(), '');
    start({ double: doubleServer({ downWhile: downFile() }) }, { breaker: { coolMs: 100 }, reconnectMs: 50 });
    for (let i = 0; i < 3; i++) await call('x');
    expect(hub.status('double').breaker).not.toBe('closed');
    await rm(downFile());
    await eventually(() => hub.status('double').state === 'connected');
    expect(hub.status('double')).toEqual({ server: 'double', state: 'connected', breaker: 'closed' });
    expect(await call('x')).toMatchObject({ ok: true });
  });

  it('starts a server anew that answers nothing any more, not even a ping', async () => {
    start({ double: doubleServer({ log: logPath() }) }, { breaker: { failures: 1, coolMs: 50 }, reconnectMs: 50 });
    await call('x');
    expect(await call('go_deaf', {}, { timeoutMs: 100 })).toMatchObject({ error: { code: 'timeout' } });
    await eventually(async () => (await starts()) === 2 && hub.status('double').breaker === 'closed');
    expect(problems[0]?.message).toContain('does not answer any more');
    expect(await call('x')).toMatchObject({ ok: true });
  });
});

describe('a connection that was lost', () => {
  it('is made anew without a call, and the tools are read again', async () => {
    start({ double: doubleServer({ log: logPath() }) }, { reconnectMs: 20 });
    await call('die');
    await eventually(async () => (await starts()) === 2 && hub.status('double').state === 'connected');
    expect(changed).toEqual(['double']);
  });

  it('to a server that was never needed is not made', async () => {
    start({ double: doubleServer({ log: logPath() }) });
    expect(hub.status('double')).toEqual({ server: 'double', state: 'idle', breaker: 'closed' });
    expect(await starts()).toBe(0);
  });
});

describe('a call whose server dies', () => {
  const dieOnce = () => ({ file: join(folder.path, 'deaths'), times: 1 });

  it('is sent once more when it is idempotent', async () => {
    start({ double: doubleServer({ log: logPath() }) });
    expect(await call('die_until', dieOnce(), { idempotent: true })).toEqual({ ok: true, value: { died: 1 } });
    expect(await lines('tools/call die_until')).toBe(2);
  });

  it('is not sent again when it is not', async () => {
    start({ double: doubleServer({ log: logPath() }) });
    expect(await call('die_until', dieOnce())).toMatchObject({ error: { retryable: false } });
    expect(await lines('tools/call die_until')).toBe(1);
  });

  it('is sent twice at most', async () => {
    start({ double: doubleServer({ log: logPath() }) });
    const args = { file: join(folder.path, 'deaths'), times: 5 };
    expect(await call('die_until', args, { idempotent: true })).toMatchObject({
      error: { code: 'upstream_unavailable' },
    });
    expect(await lines('tools/call die_until')).toBe(2);
  });
});

describe('notifications', () => {
  it('of progress reach the caller, without a credential in them', async () => {
    start({ double: doubleServer({}, { env: { TOKEN: new Secret('t0ken-value') } }) });
    const told: ToolProgress[] = [];
    const outcome = await call('progress', { steps: 3, text: 'with t0ken-value' }, { onProgress: (p) => told.push(p) });
    expect(outcome).toMatchObject({ ok: true });
    expect(told).toEqual([1, 2, 3].map((progress) => ({ progress, total: 3, message: 'with [redacted]' })));
  });

  it('that tools have changed are passed on', async () => {
    start({ double: doubleServer({}) });
    await call('announce');
    await eventually(() => changed.length > 0);
    expect(changed).toEqual(['double']);
  });
});

describe('resources and prompts', () => {
  const resources = [{ uri: 'note://1', name: 'One' }];
  const list = async (server: string) => {
    using deadline = new Deadline('The test', 120_000);
    return (await hub.listTools(server, deadline)).map(({ tool }) => tool);
  };

  it('are reached through helper tools, which servers without them do not have', async () => {
    start({ double: doubleServer({ resources, prompts: [{ name: 'ask' }] }), plain: doubleServer({}) });
    expect(await list('double')).toEqual(['list_resources', 'read_resource', 'list_prompts', 'get_prompt']);
    expect(await list('plain')).toEqual([]);
    expect(await call('list_resources', {}, { method: 'resources/list' })).toEqual({
      ok: true,
      value: { resources, templates: [] },
    });
    expect(await call('read_resource', { uri: 'note://1' }, { method: 'resources/read' })).toEqual({
      ok: true,
      value: { contents: [{ uri: 'note://1', text: 'text of note://1' }] },
    });
    expect(await call('list_prompts', {}, { method: 'prompts/list' })).toMatchObject({
      value: { prompts: [{ name: 'ask' }] },
    });
    const prompt = { name: 'ask', arguments: { who: 'Ann' } };
    expect(await call('get_prompt', prompt, { method: 'prompts/get' })).toMatchObject({
      value: { description: 'A prompt', messages: [{ role: 'user', content: { text: 'ask {"who":"Ann"}' } }] },
    });
  });

  it('that are not there, or never end, are failures of the call', async () => {
    start({ double: doubleServer({ resources, resourcesEndless: true }) });
    expect(await call('read_resource', { uri: 'note://2' }, { method: 'resources/read' })).toMatchObject({
      error: { code: 'tool_failed', message: 'No such resource' },
    });
    expect(await call('list_resources', {}, { method: 'resources/list' })).toMatchObject({
      error: { code: 'tool_failed', message: expect.stringContaining('repeats a cursor') },
    });
    expect(hub.status('double').breaker).toBe('closed');
  });

  it("leave a tool of the server's own alone that has the name of a helper", async () => {
    start({ double: doubleServer({ resources, tools: [entry('read_resource')] }) });
    expect(await list('double')).toEqual(['read_resource', 'list_resources']);
    expect(await call('read_resource', { x: 1 })).toMatchObject({ value: { arguments: { x: 1 } } });
  });
});

describe('stderr', () => {
  it('goes to a log of the server, without its credentials', async () => {
    const env = { TOKEN: new Secret('t0ken-value') };
    start({ double: doubleServer({}, { env }) }, { folder: folder.path });
    await call('complain', { text: 'first line\nuses t0ken' });
    await call('complain', { text: '-value, no end of line' });
    await hub.close();
    const text = await readFile(hub.logPath('double') ?? '', 'utf8');
    expect(text).toMatch(/^--- \S+ the server is started\nfirst line\nuses \[redacted\], no end of line\n$/);
    expect(hub.logPath('double')).toBe(join(folder.path, 'logs/double.log'));
  });
});

describe('the connection of one customer', () => {
  it('ends when it is not used for a while, and is made anew for the next call', async () => {
    start({ double: doubleServer({ log: logPath() }, { perCustomer: true }) }, { customerIdleMs: 200 });
    expect(await call('x', {}, { customer: 'ann' })).toMatchObject({ ok: true });
    expect(hub.status('double')).toMatchObject({ customers: 1 });
    await eventually(async () => (await descendants()).length === 0);
    expect(hub.status('double')).toMatchObject({ customers: 0 });
    expect(problems).toEqual([]);
    expect(await call('x', {}, { customer: 'ann' })).toMatchObject({ ok: true });
    expect(await starts()).toBe(2);
  });

  it('that the host has no folder for fails without a word of where that would be', async () => {
    const occupied = join(folder.path, 'occupied');
    await writeFile(occupied, '');
    const args = [customerMark({ kind: 'folder' })];
    start({ double: stdioServer('node', args, { perCustomer: true }) }, { folder: occupied });
    const outcome = await call('x', {}, { customer: 'ann' });
    expect(outcome).toMatchObject({ ok: false, error: { code: 'upstream_unavailable' } });
    expect(JSON.stringify(outcome)).not.toContain(folder.path);
    expect(problems[0]?.message).toContain(occupied);
  });

  it('is not ended under a call', async () => {
    start({ double: doubleServer({ log: logPath() }, { perCustomer: true }) }, { customerIdleMs: 100 });
    await call('x', {}, { customer: 'ann' });
    const slow = call('hang', {}, { customer: 'ann', timeoutMs: 1_500 });
    expect(await slow).toMatchObject({ error: { code: 'timeout' } });
  });

  it('is the business of nobody else when its server dies', async () => {
    start({ double: doubleServer({ log: logPath() }, { perCustomer: true }) });
    await Promise.all([call('x', {}, { customer: 'ann' }), call('x', {}, { customer: 'bob' })]);
    const hanging = call('progress', { steps: 1 }, { customer: 'bob' });
    expect(await call('die', {}, { customer: 'ann' })).toMatchObject({ ok: false });
    expect(await hanging).toMatchObject({ ok: true });
    expect(await call('x')).toMatchObject({ error: { message: expect.stringContaining('is for customers') } });
  });
});

describe('many calls at the same time', () => {
  it('do not fail and do not mix', async () => {
    start({ double: doubleServer({}) });
    const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => call('echo', { n })));
    expect(answers).toEqual(answers.map((_, n) => ({ ok: true, value: { name: 'echo', arguments: { n } } })));
  });
});
