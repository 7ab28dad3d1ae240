import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { writeConfig } from '../support/cell-config.ts';
import { type CliOptions, cli, type RunningCli, startCli } from '../support/cli.ts';
import { doubleServer, freePort, officialServers } from '../support/mcp-servers.ts';
import { descendants, eventually, isRunning } from '../support/processes.ts';
import { sandboxSpec } from '../support/sandbox-server.ts';
import type { CommandOutcome } from '../support/stock-clients.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const TASK = 'Calculate 5 + 3';

let folder: TempFolder;

beforeAll(async () => {
  folder = await tempFolder();
  await writeConfig(folder.path, { mcpServers: { memory: officialServers(folder.path).memory } });
});

afterAll(() => folder[Symbol.asyncDispose]());

const workcell = (args: readonly string[], options: Partial<CliOptions> = {}): Promise<CommandOutcome> =>
  cli(args, { cwd: folder.path, ...options });

/** A file with a program, in the folder that commands run in. */
async function programFile(name: string, code: string): Promise<string> {
  await writeFile(join(folder.path, name), code);
  return name;
}

/** What a command prints with --json: one line that is one value. */
async function json(
  args: readonly string[],
  options: Partial<CliOptions> = {},
): Promise<{ code: number | null; value: unknown }> {
  const { code, stdout, stderr } = await workcell([...args, '--json'], options);
  expect(stdout, stderr).toMatch(/^.+\n$/);
  return { code, value: JSON.parse(stdout) };
}

describe('workcell run', () => {
  it('prints the value alone on stdout and the rest on stderr, and exits with 0', async () => {
    const { code, stdout, stderr } = await workcell(['run', TASK]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '8\n' });
    expect(stderr).toContain('completed in ');
    expect(stderr).toContain('calculator.evaluate');
  });

  it('--json prints the whole result as one object', async () => {
    const { code, value } = await json(['run', TASK, '--customer', 'acme']);
    expect(code).toBe(0);
    const result = value as Record<string, Record<string, unknown>>;
    expect(Object.keys(result).sort()).toEqual([
      'calls',
      'customer',
      'error',
      'executionId',
      'exitCode',
      'language',
      'limit',
      'output',
      'planner',
      'program',
      'sandbox',
      'selection',
      'sessionId',
      'status',
      'stderr',
      'stdout',
      'timing',
      'value',
      'warnings',
    ]);
    expect(Object.keys(result['selection'] ?? {}).sort()).toEqual(['considered', 'mode', 'noMatch', 'tools']);
    expect(Object.keys(result['sandbox'] ?? {}).sort()).toEqual(['boot', 'driver', 'id', 'isolation']);
    expect(Object.keys(result['timing'] ?? {}).sort()).toEqual([
      'acquireMs',
      'generateMs',
      'runMs',
      'selectMs',
      'totalMs',
    ]);
    expect(result).toMatchObject({
      customer: 'acme',
      status: 'completed',
      value: 8,
      stdout: '',
      stderr: '',
      error: null,
      planner: 'literal',
      selection: { mode: 'lexical', noMatch: null },
      sandbox: { driver: 'qemu' },
      calls: [],
    });
  });

  it('exits with 1 when the program throws, and says in which line of the author', async () => {
    const file = await programFile(
      'throws.ts',
      "const a: number = 1;\nconsole.log('before');\nthrow new Error('boom ' + a);\n",
    );
    const { code, stdout, stderr } = await workcell(['run', '--file', file]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'before\n' });
    expect(stderr).toMatch(/^failed in .*Error: boom 1\n.*program\.ts:3:/m);
  });

  it('--check answers a wrong call with the line, and runs nothing', async () => {
    const file = await programFile(
      'wrong.ts',
      "import { add } from 'servers/calculator';\nconsole.log('ran');\nreturn add({ a: 1, c: 2 });\n",
    );
    const { code, stdout, stderr } = await workcell(['run', '--check', '--file', file]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/TS2353: .*'c' does not exist[\s\S]*program\.ts:3:20/);
  });

  it('reads the program from standard input, and lets it call a tool of an MCP server', async () => {
    const input = `
      import { createEntities, readGraph } from 'servers/memory';
      await createEntities({ entities: [{ name: 'ada', entityType: 'person', observations: [] }] });
      console.error('talk');
      const { entities } = await readGraph({}) as { entities: { name: string }[] };
      return entities.map(({ name }) => name);`;
    const { code, value } = await json(['run', '-'], { input });
    expect(code).toBe(0);
    expect(value).toMatchObject({
      status: 'completed',
      value: ['ada'],
      stderr: 'talk\n',
      planner: 'none',
      selection: { mode: 'imports' },
      calls: [
        { server: 'memory', tool: 'create_entities', ok: true },
        { server: 'memory', tool: 'read_graph', ok: true },
      ],
    });
  });

  it('exits with 3 when the program does not end in time', async () => {
    const file = await programFile('endless.ts', 'while (true) {}');
    const { code, stdout, stderr } = await workcell(['run', '--file', file, '--timeout', '1s']);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(/^timed_out in .*after 1 s/m);
  });

  it('goes on when nobody reads its output any more, and exits as the program does', async () => {
    const file = await programFile(
      'talks.ts',
      "for (let i = 0; i < 100; i++) console.log('x'.repeat(10_000)); throw new Error('at last');",
    );
    const running = startCli(['run', '--file', file], { cwd: folder.path });
    await untilSaid(running, 'x');
    running.leaveStdout();
    const { code, stderr } = await running.ended;
    expect(code, stderr).toBe(1);
    expect(stderr).toContain('Error: at last');
    expect(stderr).not.toContain('EPIPE');
  });

  it.each([
    ['an unknown option', ['run', '--nope', TASK], "unknown option '--nope'"],
    ['no command', [], 'Usage: workcell'],
    ['an unknown command', ['rum', TASK], "unknown command 'rum'"],
    ['a customer that is none', ['run', '--customer', '..', TASK], 'customer id ".."'],
    ['nothing to run', ['run'], 'nothing to run'],
    ['a file that is not there', ['run', '--file', 'none.ts'], "'none.ts'"],
    ['a duration that is none', ['run', TASK, '--timeout', 'soon'], 'limits.timeout: "soon" is not a duration'],
    ['a task that no tool fits', ['run', 'zzqq xxyy'], 'No tool fits the task'],
    [
      'a task that leaves arguments open',
      ['run', 'add numbers', '--tools', 'calculator.add'],
      'does not give "a" (a number) and "b" (a number)',
    ],
    ['a tool that is not there', ['run', TASK, '--tools', 'nope.add'], '"nope.add"'],
    ['a limit that is none', ['tools', 'search', 'add', '--limit', 'few'], 'whole number above 0'],
    ['a port that is none', ['serve', '--port', 'http'], 'flag --port: server.port'],
    ['a session that is not there', ['session', 'show', 'none'], 'no session "none"'],
    ['a server that is not configured', ['tools', 'sync', 'nope'], 'no MCP server "nope"'],
  ])('exits with 2 for %s, and says so', async (_what, args, message) => {
    const { code, stdout, stderr } = await workcell(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  it('exits with 2 for a key that the configuration does not know, and names the line and the nearest key', async () => {
    await writeFile(join(folder.path, 'typo.yaml'), 'log:\n  level: warn\nlimits:\n  timout: 5s\n');
    const { code, stdout, stderr } = await workcell(['run', TASK, '--config', 'typo.yaml']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('typo.yaml:4: limits.timout: is not a known key; did you mean "timeout"?');
  });

  it.each([
    ['wrong usage', ['run', '--nope', TASK], 2, { code: 'invalid_argument', message: "unknown option '--nope'" }],
    [
      'missing arguments',
      ['run', 'add numbers', '--tools', 'calculator.add'],
      2,
      { code: 'missing_arguments', details: { tool: 'calculator.add', missing: expect.any(Array) } },
    ],
    ['no tool that fits', ['run', 'zzqq xxyy'], 2, { code: 'no_matching_tool', retryable: false }],
  ])('--json makes %s one object on stdout', async (_what, args, exit, error) => {
    expect(await json(args)).toEqual({ code: exit, value: { error: expect.objectContaining(error) } });
  });

  it('exits with 4 when the Microsandbox server is not there', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    await writeFile(join(folder.path, 'remote.yaml'), `sandbox:\n  url: ${url}\n`);
    const { code, value } = await json(['run', TASK, '--config', 'remote.yaml'], { env: { MSB_API_KEY: 'msb_any' } });
    expect(code).toBe(4);
    expect(value).toMatchObject({ error: { code: 'server_unreachable', message: expect.stringContaining(url) } });
  });

  it.each(['process', 'group'] as const)(
    'ends the program when SIGINT reaches its %s, and leaves no process',
    async (target) => {
      const file = await programFile(
        'waits.ts',
        "import { readGraph } from 'servers/memory';\nawait readGraph({});\nconsole.log('started');\nsetInterval(() => {}, 1000);\n",
      );
      const running = startCli(['run', '--file', file], { cwd: folder.path });
      await untilSaid(running, 'started\n');
      const below = await descendants();
      expect(below.length).toBeGreaterThanOrEqual(4);
      running.signal('SIGINT', target);
      const { code, stdout, stderr } = await running.ended;
      expect({ code, stdout }).toEqual({ code: 1, stdout: 'started\n' });
      expect(stderr).toMatch(/^killed in /m);
      await untilGone(below);
    },
  );
});

describe('workcell session', () => {
  it('shows what ran in a session, in order', async () => {
    const customer = ['--customer', 'sue'];
    const file = await programFile(
      'state.ts',
      "const { mkdirSync, writeFileSync } = require('node:fs');\nmkdirSync('state', { recursive: true });\nwriteFileSync('state/seen.json', '1');\nconsole.log('wrote it');\n",
    );
    expect(await workcell(['run', TASK, '--session', 'mine', ...customer])).toMatchObject({ code: 0 });
    expect(await workcell(['run', '--file', file, '--session', 'mine', ...customer])).toMatchObject({ code: 0 });

    expect(await json(['session', 'list', ...customer])).toEqual({ code: 0, value: ['mine'] });
    expect((await workcell(['session', 'list', ...customer])).stdout).toBe('mine\n');
    expect(await json(['session', 'list', '--customer', 'nobody'])).toEqual({ code: 0, value: [] });
    await expect(access(join(folder.path, 'workspaces/nobody'))).rejects.toMatchObject({ code: 'ENOENT' });

    const { value } = await json(['session', 'show', 'mine', ...customer]);
    expect(value).toEqual({
      session_id: 'mine',
      customer_uid: 'sue',
      started_at: expect.stringMatching(/^\d{4}-.*Z$/),
      ended_at: null,
      tasks: [
        expect.objectContaining({ description: TASK, result: 8, status: 'completed', error: null }),
        expect.objectContaining({ result: null, output: 'wrote it\n', status: 'completed', error: null }),
      ],
      task_count: 2,
      older_before: null,
      state_files: ['state/seen.json'],
      checkpoint: null,
    });
    const { value: last } = await json(['session', 'show', 'mine', '--limit', '1', ...customer]);
    expect(last).toMatchObject({ tasks: [{ output: 'wrote it\n' }], task_count: 2, older_before: expect.any(String) });
    const before = (last as { older_before: string }).older_before;
    const { value: first } = await json(['session', 'show', 'mine', '--limit', '1', '--before', before, ...customer]);
    expect(first).toMatchObject({ tasks: [{ description: TASK }], older_before: null });
    const shown = await workcell(['session', 'show', 'mine', ...customer]);
    expect(shown.stdout).toMatch(/^mine of sue, started \S+\n.*completed .*Calculate 5 \+ 3 +8\n/);

    const long = await json(['session', 'list', '--long', ...customer]);
    expect(long.value).toMatchObject({ sessions: [{ sessionId: 'mine', executions: 2, state: 'open' }], next: null });
    expect(await workcell(['session', 'prune', '--dry-run'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('set sessions.retention'),
    });
    expect(await json(['session', 'delete', 'mine', ...customer])).toEqual({ code: 0, value: { deleted: 'mine' } });
    expect(await json(['session', 'list', ...customer])).toEqual({ code: 0, value: [] });
    expect(await workcell(['session', 'delete', 'mine', ...customer])).toMatchObject({ code: 2 });
  });
});

describe('workcell tools', () => {
  it('lists and searches what programs can call', async () => {
    const { value: all } = await json(['tools', 'list']);
    const names = (all as { server: string; tool: string }[]).map(({ server, tool }) => `${server}.${tool}`);
    expect(names).toEqual(expect.arrayContaining(['calculator.add', 'memory.create_entities']));
    const { stdout } = await workcell(['tools', 'list']);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(' ', 1)[0]),
    ).toEqual(names);

    const { value: hits } = await json(['tools', 'search', 'create entities in the knowledge graph', '--limit', '2']);
    expect(hits).toMatchObject({
      mode: 'lexical',
      considered: names.length,
      hits: [{ server: 'memory', tool: 'create_entities', score: expect.any(Number), reasons: expect.any(Array) }, {}],
      leftOut: [],
    });
  });

  it('add takes up a server with its tools, and leaves the file alone when it cannot be used', async () => {
    await using other = await tempFolder();
    const path = await writeConfig(other.path);
    const { command, args } = doubleServer({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] });
    await writeFile(path, stringify({ ...JSON.parse(await readFile(path, 'utf8')), mcpServers: undefined }));
    const before = await readFile(path, 'utf8');
    const down = await workcell(['tools', 'add', 'new', '--', 'no-such-command'], { cwd: other.path });
    expect(down).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining('was not found') });
    expect(await readFile(path, 'utf8')).toBe(before);
    const added = await workcell(['tools', 'add', 'new', '--', command, ...args], { cwd: other.path });
    expect(added).toMatchObject({ code: 0, stdout: 'new.echo\n' });
    const program = "import { echo } from 'servers/new'; return (await echo({ n: 1 })).arguments";
    const run = await workcell(['run', '-', '--json'], { cwd: other.path, input: program });
    expect(JSON.parse(run.stdout)).toMatchObject({ status: 'completed', value: { n: 1 } });
    const twice = await workcell(['tools', 'add', 'new', '--', command], { cwd: other.path });
    expect(twice).toMatchObject({ code: 2, stderr: expect.stringContaining('already') });
  });

  it('leaves nothing behind of a server that cannot be added where there was no configuration', async () => {
    await using other = await tempFolder();
    const down = await workcell(['tools', 'add', 'new', '--', 'no-such-command'], { cwd: other.path });
    expect(down).toMatchObject({ code: 4, stdout: '' });
    await expect(access(join(other.path, 'config.yaml'))).rejects.toThrow('ENOENT');
  });

  it('does not repeat a credential that was given in the wrong place', async () => {
    const wrong = await workcell(['tools', 'add', 'new', '--url', 'http://127.0.0.1', '--header', 'sk-secret']);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('--header has no name') });
    expect(wrong.stderr).not.toContain('sk-secret');
  });

  it('syncs the servers that are up, reports the one that is down, and exits with 4', async () => {
    await using other = await tempFolder();
    const up = doubleServer({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] });
    await writeConfig(other.path, { mcpServers: { up, down: doubleServer({ exitAtOnce: true }) } });
    const { code, value } = await json(['tools', 'sync'], { cwd: other.path });
    expect(code).toBe(4);
    expect(value).toMatchObject([
      { server: 'up', ok: true, added: [], unchanged: ['echo'] },
      { server: 'down', ok: false, error: { code: 'upstream_unavailable', retryable: true } },
    ]);
    await access(join(other.path, 'servers/up/echo.ts'));
    expect(await workcell(['tools', 'sync', 'up'], { cwd: other.path })).toMatchObject({
      code: 0,
      stdout: 'up: 0 added, 0 changed, 0 removed, 1 unchanged\n',
    });
    expect(await workcell(['run', TASK], { cwd: other.path })).toMatchObject({ code: 0, stdout: '8\n' });
  });
});

describe('workcell credential', () => {
  it('sets, lists and removes a credential, and never shows its value', async () => {
    await using other = await tempFolder();
    const options = { cwd: other.path, input: 't0ken-value\n' };
    const whose = ['token', '--customer', 'ann'];
    const outcomes = [
      await workcell(['credential', 'set', ...whose, '--json'], options),
      await workcell(['credential', 'set', 'token', '--default', '--from-env', 'TOKEN'], {
        ...options,
        env: { TOKEN: 't0ken-value' },
      }),
      await workcell(['credential', 'list', '--json'], options),
      await workcell(['credential', 'remove', ...whose, '--json'], options),
      await workcell(['credential', 'remove', ...whose], options),
      await workcell(['credential', 'set', 'token'], options),
    ];
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0, 0, 2, 2]);
    const [set, , list, removed] = outcomes.map(({ stdout }) => stdout && JSON.parse(stdout));
    expect([set, removed]).toEqual([
      { key: 'token', customer: 'ann' },
      { key: 'token', customer: 'ann' },
    ]);
    expect(list).toMatchObject([{ key: 'token' }, { key: 'token', customer: 'ann' }]);
    expect(JSON.stringify(outcomes)).not.toContain('t0ken');
  });
});

describe('workcell mcp install', () => {
  it.each([[['mcp', 'install', 'cursor', '--customer', 'acme']], [['mcp', '--customer', 'acme', 'install', 'cursor']]])(
    'writes an entry that serves the customer of %j',
    async (args) => {
      await using other = await tempFolder();
      const config = ['--config', join(folder.path, 'config.yaml')];
      const written = await workcell([...config, ...args, '--write'], { cwd: other.path });
      expect(written).toMatchObject({ code: 0, stdout: '' });
      const { mcpServers } = JSON.parse(await readFile(join(other.path, '.cursor/mcp.json'), 'utf8'));
      expect(mcpServers.workcell.args.slice(1)).toEqual([...config, 'mcp', '--customer', 'acme']);
    },
  );

  it('writes no entry that could not start for want of a configuration', async () => {
    await using other = await tempFolder();
    const install = ['mcp', 'install', 'cursor', '--write'];
    const refused = { code: 2, stdout: '', stderr: expect.stringContaining('There is no config.yaml in ') };
    expect(await workcell(install, { cwd: other.path })).toMatchObject(refused);
    const named = await workcell(['--config', 'other.yaml', ...install], { cwd: other.path });
    expect(named).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no such file') });
    await expect(access(join(other.path, '.cursor'))).rejects.toThrow('ENOENT');
  });

  it('prints an entry for a server that runs, without a key', async () => {
    const args = ['claude-code', '--url', 'http://h:5', '--customer', 'acme', '--tools', 'both'];
    const { stdout, stderr } = await workcell(['mcp', 'install', ...args]);
    expect(JSON.parse(stdout).mcpServers.workcell).toMatchObject({ url: 'http://h:5/customers/acme/mcp?tools=both' });
    expect(stderr).toContain('set WORKCELL_API_KEY to it where claude-code is started');
  });

  it('does not print and write at once', async () => {
    const both = await workcell(['mcp', 'install', 'cursor', '--print', '--write']);
    expect(both).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('cannot be used with') });
  });
});

describe('workcell doctor and workcell config', () => {
  it('say that programs can run here', async () => {
    const { code, value } = await json(['doctor']);
    expect(code).toBe(0);
    expect(value).toMatchObject({ ready: true, driver: 'qemu', problems: [] });
  });

  it('show where each value comes from, and no secret', async () => {
    const { code, stdout } = await workcell(['config', 'show', '--origin'], {
      env: { MSB_API_KEY: 'msb_very-secret' },
    });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^log\.level +silent +config\.yaml:1$/m);
    expect(stdout).toMatch(/^sandbox\.apiKey .*env MSB_API_KEY$/m);
    expect(stdout).toMatch(/^sandbox\.memory +512M +default$/m);
    expect(stdout).not.toContain('very-secret');
  });
});

describe('workcell serve', () => {
  it('serves sandboxes to whoever has its key, and ends with all of them on SIGTERM', async () => {
    const serving = startCli(['serve', '--port', '0'], { cwd: folder.path });
    await untilSaid(serving, '\n');
    const line = /^MSB_BACKEND=cloud MSB_API_URL=(http:\S+) MSB_API_KEY=(msb_\S+)\n$/.exec(serving.stdout());
    const [, url = '', key = ''] = line ?? [];
    expect(line, serving.stdout()).not.toBeNull();

    const call = async (method: string, path: string, body?: unknown, token = key) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const init =
        body === undefined
          ? { method, headers: { authorization: headers.authorization } }
          : { method, headers, body: JSON.stringify(body) };
      return fetch(`${url}/v1/sandboxes${path}`, init);
    };
    const start = (name: string) => call('POST', '?start=true&wait_for=running&wait_timeout=60', sandboxSpec(name));
    expect((await call('GET', '', undefined, 'msb_wrong')).status).toBe(401);
    expect(await (await start('one')).json()).toMatchObject({ name: 'one', status: 'running' });
    expect((await call('DELETE', '/by-name/one')).status).toBe(200);

    const env = { MSB_SERVER_URL: url, MSB_API_KEY: key };
    expect(await json(['run', TASK], { env })).toMatchObject({
      code: 0,
      value: { status: 'completed', value: 8, sandbox: { driver: 'qemu' } },
    });
    expect(await json(['run', TASK], { env: { ...env, MSB_API_KEY: 'msb_wrong' } })).toMatchObject({
      code: 2,
      value: { error: { code: 'unauthenticated' } },
    });

    expect((await start('left')).status).toBeLessThan(300);
    const below = await descendants();
    expect(below.length).toBeGreaterThanOrEqual(3);
    serving.signal('SIGTERM');
    expect(await serving.ended).toMatchObject({ code: 0, stdout: line?.[0] });
    await untilGone(below);
  });
});

describe('an older node', () => {
  const pretend = (version: string) => {
    const versions = `Object.defineProperty(process,'versions',{value:{...process.versions,node:'${version}'}})`;
    return { env: { NODE_OPTIONS: `--import=data:text/javascript,${versions}` } };
  };

  it.each(['20.20.2', '22.17.1'])('%s is refused, with what is needed and how to get it', async (version) => {
    const { code, stdout, stderr } = await workcell(['doctor'], pretend(version));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^workcell needs node 22\.18 or later and this is v.*npm run workcell.*\n$/);
  });

  it('that is new enough is not', async () => {
    expect(await workcell(['--version'], pretend('22.18.0'))).toMatchObject({ code: 0, stderr: '' });
  });
});

async function untilSaid(running: RunningCli, text: string): Promise<void> {
  let over = false;
  void running.ended.then(() => {
    over = true;
  });
  await eventually(() => over || running.stdout().includes(text));
  expect(running.stdout(), running.stderr()).toContain(text);
}

async function untilGone(pids: readonly number[]): Promise<void> {
  await eventually(async () => !(await Promise.all(pids.map(isRunning))).includes(true));
}
