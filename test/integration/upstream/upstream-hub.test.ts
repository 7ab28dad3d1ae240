import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkcellError } from '../../../src/core/errors.ts';
import type { ToolOutcome } from '../../../src/core/tool-error.ts';
import { UpstreamHub, type UpstreamHubOptions } from '../../../src/upstream/upstream-hub.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { Secret } from '../../../src/util/secret.ts';
import { doubleServer, officialServers, stdioServer } from '../../support/mcp-servers.ts';
import { descendants, eventually, isAlive } from '../../support/processes.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let hub: UpstreamHub;
let problems: { server: string; error: WorkcellError }[];

beforeEach(async () => {
  folder = await tempFolder();
  problems = [];
  start({});
});

// Whatever a test did: after the hub is closed, no process is left.
afterEach(async () => {
  await hub.close();
  expect(await descendants()).toEqual([]);
  await folder[Symbol.asyncDispose]();
});

function start(servers: UpstreamHubOptions['servers']): void {
  hub = new UpstreamHub({ servers, onProblem: (server, error) => problems.push({ server, error }) });
}

async function within<T>(work: (deadline: Deadline) => Promise<T>): Promise<T> {
  using deadline = new Deadline('The test', 120_000);
  return await work(deadline);
}

const listTools = (server: string) => within((deadline) => hub.listTools(server, deadline));
const call = (server: string, tool: string, args: Record<string, unknown> = {}): Promise<ToolOutcome> =>
  hub.callTool({ server, tool, arguments: args });
const logPath = () => join(folder.path, 'double.log');
const log = async () => (await readFile(logPath(), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
const logged = (line: string) => eventually(async () => (await log()).includes(line));
const entry = (name: string) => ({ name, inputSchema: { type: 'object' } });

describe('the official servers over stdio', () => {
  beforeEach(() => start(officialServers(folder.path)));

  it('list their tools, at once and in one process each', async () => {
    const [files, memory, everything] = await Promise.all(['filesystem', 'memory', 'everything'].map(listTools));
    expect(files?.map(({ tool }) => tool)).toContain('read_text_file');
    expect(memory?.map(({ tool }) => tool)).toContain('create_entities');
    expect(everything?.map(({ tool }) => tool)).toContain('get-sum');
    await Promise.all(['filesystem', 'memory', 'everything'].map(listTools));
    expect(await descendants()).toHaveLength(3);
    expect(problems).toEqual([]);
  });

  it('describe themselves', async () => {
    const info = await within((deadline) => hub.describe('everything', deadline));
    expect(info).toMatchObject({ name: 'mcp-servers/everything', instructions: expect.stringContaining('Everything') });
  });

  it('answer with structured content, text, blocks and errors', async () => {
    const entities = [{ name: 'Ann', entityType: 'person', observations: ['tall'] }];
    expect(await call('memory', 'create_entities', { entities })).toEqual({ ok: true, value: { entities } });
    expect(await call('memory', 'read_graph')).toEqual({ ok: true, value: { entities, relations: [] } });
    expect(await call('everything', 'get-sum', { a: 2, b: 3 })).toEqual({
      ok: true,
      value: 'The sum of 2 and 3 is 5.',
    });
    const image = await call('everything', 'get-tiny-image');
    expect(image).toMatchObject({
      ok: true,
      value: [{ type: 'text' }, { type: 'image', mimeType: 'image/png' }, { type: 'text' }],
    });
    const refused = await call('filesystem', 'read_text_file', { path: '/etc/passwd' });
    expect(refused).toMatchObject({
      ok: false,
      error: { code: 'tool_failed', message: expect.stringMatching(/Access denied/), retryable: false },
    });
  });

  it('one that is killed in the middle of a call fails that call, and is there again for the next', async () => {
    const slow = call('everything', 'trigger-long-running-operation', { duration: 60, steps: 2 });
    const [pid = 0] = await eventually(async () => {
      const pids = await descendants();
      return pids.length > 0 ? pids : undefined;
    });
    await within((deadline) => hub.describe('everything', deadline));
    process.kill(pid, 'SIGKILL');
    expect(await slow).toMatchObject({
      ok: false,
      error: {
        code: 'upstream_unavailable',
        message: 'The MCP server "everything" was ended by SIGKILL; the call may have taken effect',
        retryable: false,
      },
    });
    expect(await call('everything', 'echo', { message: 'hi' })).toEqual({ ok: true, value: 'Echo: hi' });
    expect(await descendants()).not.toContain(pid);
  });
});

describe('a list of tools', () => {
  it('is read over three pages', async () => {
    start({ double: doubleServer({ tools: ['a', 'b', 'c', 'd', 'e'].map(entry), pageSize: 2, log: logPath() }) });
    expect((await listTools('double')).map(({ tool }) => tool)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect((await log()).filter((line) => line === 'tools/list')).toHaveLength(3);
  });

  it.each([
    ['same-cursor', 'repeats a cursor'],
    ['new-cursors', 'more than 100 pages'],
  ] as const)('that never ends is refused: %s', async (endless, reason) => {
    start({ double: doubleServer({ endless }) });
    await expect(listTools('double')).rejects.toMatchObject({
      code: 'protocol_error',
      message: expect.stringMatching(new RegExp(`^Cannot list the tools of MCP server "double": .*${reason}`)),
    });
  });

  it('survives odd names and broken schemas', async () => {
    const tools = [
      entry('a/b'),
      entry('constructor'),
      { name: 'broken', inputSchema: { type: 'nonsense', $ref: '#/x' } },
    ];
    start({ double: doubleServer({ tools }) });
    expect((await listTools('double')).map(({ tool }) => tool)).toEqual(['a/b', 'constructor', 'broken']);
    expect(await call('double', 'constructor', { x: 1 })).toEqual({
      ok: true,
      value: { name: 'constructor', arguments: { x: 1 } },
    });
  });

  it('comes from a server that prints a banner first', async () => {
    start({ double: doubleServer({ tools: [entry('a')], banner: 'Welcome to the double!' }) });
    expect(await listTools('double')).toHaveLength(1);
  });
});

describe('a server that is down', () => {
  it('does not stop the others', async () => {
    start({ gone: stdioServer('no-such-command', []), double: doubleServer({ tools: [entry('a')] }) });
    const [gone, double] = await Promise.allSettled([listTools('gone'), listTools('double')]);
    expect(gone.status).toBe('rejected');
    expect(double).toMatchObject({ status: 'fulfilled', value: [{ tool: 'a' }] });
    expect(problems.map(({ server }) => server)).toEqual(['gone']);
  });

  const token = { TOKEN: new Secret('t0ken-value') };
  it.each([
    [
      'whose command is missing',
      () => stdioServer('no-such-command', []),
      /the command "no-such-command" was not found; install it, or correct its "command"/,
      'The MCP server "down" has a command that was not found',
    ],
    [
      'whose command may not be executed',
      () => stdioServer('/etc/passwd', []),
      /starting "\/etc\/passwd" failed with EACCES/,
      'The MCP server "down" could not be started',
    ],
    [
      'whose working directory is missing',
      () => doubleServer({}, { cwd: '/no/such/folder' }),
      /there is no folder "\/no\/such\/folder"; correct its "cwd"/,
      'The MCP server "down" has no working directory',
    ],
    [
      'that exits',
      () => doubleServer({ exitAtOnce: true }, { env: token }),
      /it exited with code 3; the end of its stderr:\n {2}environment: .*\n {2}token is \[redacted\]/,
      'The MCP server "down" exited with code 3',
    ],
    [
      'that never answers',
      () => doubleServer({ mute: true }, { timeoutMs: 1_500 }),
      /it did not answer: Connecting to MCP server "down" took longer than 1\.5 s/,
      'The MCP server "down" did not answer',
    ],
  ])(
    'says what to repair to the operator, and no path or secret to the guest: one %s',
    async (_what, server, operator, guest) => {
      start({ down: server() });
      await expect(listTools('down')).rejects.toMatchObject({
        code: 'upstream_unavailable',
        message: expect.stringMatching(operator),
      });
      expect(problems).toMatchObject([{ server: 'down', error: { message: expect.stringMatching(operator) } }]);
      const outcome = await hub.callTool({ server: 'down', tool: 'x', arguments: {}, timeoutMs: 10_000 });
      expect(outcome).toMatchObject({
        ok: false,
        error: { code: 'upstream_unavailable', message: guest, retryable: true },
      });
    },
  );

  it('that is not configured is told with the nearest name', async () => {
    start({ memory: doubleServer({}) });
    await expect(listTools('memroy')).rejects.toMatchObject({
      code: 'not_found',
      message: 'There is no MCP server "memroy"; did you mean "memory"?',
    });
    expect(await call('memroy', 'x')).toMatchObject({
      ok: false,
      error: { code: 'upstream_unavailable', retryable: false },
    });
  });
});

describe('a call', () => {
  beforeEach(() => start({ double: doubleServer({ log: logPath() }) }));

  it('fails with what the tool said, as a result or as an error of the protocol', async () => {
    const text = 'file "a.txt" does not exist';
    const error = { server: 'double', code: 'tool_failed', message: text, retryable: false, details: {} };
    expect(await call('double', 'fail', { text })).toEqual({ ok: false, error: { ...error, tool: 'fail' } });
    expect(await call('double', 'refuse', { text })).toEqual({ ok: false, error: { ...error, tool: 'refuse' } });
  });

  it.each([[{ content: 'text' }], [{ isError: 'maybe' }]])(
    'answered with %j is a failure, not a crash',
    async (result) => {
      const message = 'The server answered with something that is not a tool result';
      expect(await call('double', 'answer', { result })).toMatchObject({
        ok: false,
        error: { code: 'tool_failed', message },
      });
      expect(await call('double', 'echo')).toMatchObject({ ok: true });
    },
  );

  it('whose server dies in the middle is sent once, and the next call finds a new process', async () => {
    expect(await call('double', 'die')).toMatchObject({
      ok: false,
      error: {
        code: 'upstream_unavailable',
        message: 'The MCP server "double" exited with code 7; the call may have taken effect',
        retryable: false,
      },
    });
    expect(problems[0]?.error.message).toContain('the end of its stderr:\n  about to die');
    expect(await call('double', 'echo', { n: 1 })).toMatchObject({ ok: true, value: { arguments: { n: 1 } } });
    const lines = await log();
    expect(lines.filter((line) => line === 'tools/call die')).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith('started'))).toHaveLength(2);
  });

  it('fails with all others in flight when the server dies', async () => {
    const hanging = [call('double', 'hang'), call('double', 'hang')];
    await eventually(async () => (await log()).filter((line) => line === 'tools/call hang').length === 2);
    const outcomes = await Promise.all([...hanging, call('double', 'die')]);
    expect(outcomes.map((outcome) => !outcome.ok && outcome.error.code)).toEqual(Array(3).fill('upstream_unavailable'));
    expect(problems).toHaveLength(1);
  });

  it('that takes too long is a timeout, and the server is told to cancel it', async () => {
    await call('double', 'echo');
    const outcome = await hub.callTool({ server: 'double', tool: 'hang', arguments: {}, timeoutMs: 200 });
    expect(outcome).toMatchObject({
      ok: false,
      error: { code: 'timeout', message: 'Calling double.hang took longer than 0.2 s', retryable: false },
    });
    await logged('notifications/cancelled 2');
    expect(await call('double', 'echo')).toMatchObject({ ok: true });
  });

  it('that is cancelled ends at once, and the server is told', async () => {
    const controller = new AbortController();
    const hanging = hub.callTool({ server: 'double', tool: 'hang', arguments: {}, signal: controller.signal });
    await logged('tools/call hang');
    controller.abort();
    expect(await hanging).toMatchObject({ ok: false, error: { code: 'cancelled', retryable: false } });
    await logged('notifications/cancelled 1');
  });

  it('that is cancelled before it starts reaches no server', async () => {
    const outcome = await hub.callTool({ server: 'double', tool: 'x', arguments: {}, signal: AbortSignal.abort() });
    expect(outcome).toMatchObject({ ok: false, error: { code: 'cancelled' } });
    expect(await descendants()).toEqual([]);
  });

  it('sends no cancellation for what has been answered', async () => {
    const controller = new AbortController();
    await hub.callTool({ server: 'double', tool: 'echo', arguments: {}, signal: controller.signal });
    controller.abort();
    await call('double', 'echo');
    expect((await log()).filter((line) => line.startsWith('notifications/cancelled'))).toEqual([]);
  });

  it('with a message beyond 10 MiB ends the session instead of the memory', async () => {
    expect(await call('double', 'flood', { bytes: 9_000_000 })).toMatchObject({ ok: true });
    expect(await call('double', 'flood', { bytes: 11_000_000 })).toMatchObject({
      ok: false,
      error: { code: 'upstream_unavailable' },
    });
    expect(await call('double', 'echo')).toMatchObject({ ok: true });
  });

  it('shows a credential of the server in no error', async () => {
    const hidden = { TOKEN: new Secret('t0ken-value') };
    await hub.close();
    start({ double: doubleServer({}, { env: hidden }) });
    const outcome = await call('double', 'fail', { text: 'no user for t0ken-value' });
    expect(outcome).toMatchObject({ ok: false, error: { message: 'no user for [redacted]' } });
  });
});

describe('a child process', () => {
  it('inherits nothing but what is safe, and gets what is configured', async () => {
    process.env['WORKCELL_TEST_SECRET'] = 'must stay here';
    try {
      start({ double: doubleServer({}, { env: { TOKEN: new Secret('t0ken-value') } }) });
      const outcome = await call('double', 'environment');
      const environment = outcome.ok ? (outcome.value as Record<string, string>) : {};
      expect(environment['TOKEN']).toBe('t0ken-value');
      const known = ['HOME', 'LOGNAME', 'PATH', 'SHELL', 'TERM', 'USER', 'TOKEN'];
      expect(Object.keys(environment).filter((name) => !known.includes(name))).toEqual([]);
    } finally {
      delete process.env['WORKCELL_TEST_SECRET'];
    }
  });

  it('knows this client by the version of the package', async () => {
    start({ double: doubleServer({}) });
    const { version } = JSON.parse(await readFile(new URL('../../../package.json', import.meta.url), 'utf8'));
    expect(await call('double', 'client_info')).toEqual({ ok: true, value: { name: 'workcell', version } });
  });

  it('that ignores SIGTERM is killed', async () => {
    start({ double: doubleServer({ stubborn: true, log: logPath() }) });
    await call('double', 'echo');
    await hub.close();
    expect(await log()).toContain('SIGTERM');
    expect(await descendants()).toEqual([]);
  });

  it('takes its own children with it, when it is closed and when it dies', async () => {
    start({ double: doubleServer({ grandchild: true, log: logPath() }) });
    await call('double', 'die');
    await call('double', 'echo');
    await hub.close();
    const pids = (await log()).flatMap((line) => /^grandchild (\d+)$/.exec(line)?.[1] ?? []).map(Number);
    expect(pids).toHaveLength(2);
    await eventually(() => !pids.some(isAlive));
  });
});

describe('closing', () => {
  it('ends calls in flight and connections being made, and refuses later calls', async () => {
    start({ double: doubleServer({ log: logPath() }), mute: doubleServer({ mute: true }) });
    const hanging = call('double', 'hang');
    const connecting = call('mute', 'x');
    await logged('tools/call hang');
    await hub.close();
    expect(await hanging).toMatchObject({ ok: false, error: { code: 'cancelled' } });
    expect(await connecting).toMatchObject({ ok: false });
    expect(await call('double', 'echo')).toMatchObject({ ok: false, error: { code: 'cancelled' } });
    await expect(listTools('double')).rejects.toMatchObject({ code: 'cancelled' });
    expect(problems).toEqual([]);
  });

  it('twice and at the same time is fine', async () => {
    start({ double: doubleServer({}) });
    await call('double', 'echo');
    await Promise.all([hub.close(), hub.close()]);
    await hub.close();
  });
});
