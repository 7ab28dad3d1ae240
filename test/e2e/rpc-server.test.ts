import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OutputLine } from '../../src/protocol/json-rpc.ts';
import { post, rpc } from '../support/rpc.ts';
import { API_KEY, openServer, type TestServer } from '../support/sandbox-server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await openServer();
  await mkdir(join(server.folder, 'allowed/shared'), { recursive: true });
  await writeFile(join(server.folder, 'allowed/shared/in.txt'), 'of the host');
  const config = {
    image: 'host',
    memory: 512,
    cpus: 1,
    volumes: [`${server.folder}/allowed/shared:/workspace`],
    envs: ['GREETING=hello=you'],
    ports: null,
    depends_on: null,
    workdir: '/workspace',
  };
  expect(await rpc(server.url, 'sandbox.start', { sandbox: 'main', namespace: 'team', config })).toEqual(
    ok('Sandbox main started successfully'),
  );
});

afterAll(() => server?.[Symbol.asyncDispose]());

const ok = (result: unknown) => ({ status: 200, body: { jsonrpc: '2.0', id: '1', result } });
const fails = (status: number, code: number, message: unknown, data?: unknown) => ({
  status,
  body: { jsonrpc: '2.0', id: '1', error: { code, message, ...(data === undefined ? {} : { data }) } },
});
const command = (name: string, args: readonly string[] | null = null, timeout: number | null = null) =>
  rpc(server.url, 'sandbox.command.run', { sandbox: 'main', namespace: 'team', command: name, args, timeout });
const repl = (language: string, code: string, timeout?: number) =>
  rpc(server.url, 'sandbox.repl.run', { sandbox: 'main', namespace: 'team', language, code, timeout });
const out = (...lines: readonly string[]): OutputLine[] => lines.map((text) => ({ stream: 'stdout', text }));
const err = (...lines: readonly string[]): OutputLine[] => lines.map((text) => ({ stream: 'stderr', text }));
const outputOf = async (answer: Promise<{ body: unknown }>): Promise<readonly OutputLine[]> => {
  const { body } = (await answer) as { body: { result?: { output: readonly OutputLine[] } } };
  if (body.result === undefined) throw new Error(`There is no result: ${JSON.stringify(body)}`);
  return body.result.output;
};

describe('a request', () => {
  it('for health needs no key', async () => {
    const response = await request(`${server.url}/api/v1/health`);
    expect([response.statusCode, await response.body.json()]).toEqual([200, { message: 'Service is healthy' }]);
  });

  it.each([
    ['no key', {}, { error: 'Invalid credentials', code: 1001 }],
    ['a key of another form', { authorization: 'Bearer abc' }, { error: 'Invalid credentials', code: 1001 }],
    ['a wrong key', { authorization: 'Bearer msb_wrong' }, { error: 'Invalid or expired token', code: 1004 }],
    [
      'a wrong key in the header that counts',
      { 'proxy-authorization': 'msb_wrong', authorization: `Bearer ${API_KEY}` },
      { error: 'Invalid or expired token', code: 1004 },
    ],
  ])('with %s is 401 in the flat form', async (_what, headers, body) => {
    expect(await rpc(server.url, 'sandbox.stop', {}, { headers: headers as Record<string, string> })).toEqual({
      status: 401,
      body,
    });
  });

  it('may carry its key without "Bearer", and in either header', async () => {
    for (const headers of [{ 'proxy-authorization': API_KEY }, { authorization: API_KEY }] as Record<string, string>[])
      expect((await rpc(server.url, 'sandbox.metrics.get', { namespace: 'none' }, { headers })).status).toBe(200);
  });

  it('of another version, form or method is refused as JSON-RPC', async () => {
    expect(await post(server.url, { jsonrpc: '1.0', method: 'sandbox.stop', id: 7 })).toEqual({
      status: 400,
      body: { jsonrpc: '2.0', id: 7, error: { code: -32600, message: 'Invalid or missing jsonrpc version field' } },
    });
    expect(await rpc(server.url, 'sandbox.fly')).toEqual(fails(404, -32601, 'Method not found: sandbox.fly'));
    expect(await rpc(server.url, 'constructor')).toMatchObject({ status: 404 });
    expect(await post(server.url, [{ jsonrpc: '2.0', method: 'sandbox.stop' }])).toMatchObject({ status: 400 });
    expect(await post(server.url, '{"jsonrpc":')).toMatchObject({ status: 400, body: { error: { code: -32700 } } });
    const headers = { authorization: API_KEY, 'content-type': 'application/xml' };
    expect(await post(server.url, '{}', { headers })).toMatchObject({ status: 415 });
  });

  it('has no more than 2 MiB', async () => {
    const body = (size: number) => ({ jsonrpc: '2.0', method: 'sandbox.fly', params: 'x'.repeat(size) });
    const limit = 2 * 1024 * 1024 - JSON.stringify(body(0)).length;
    expect((await post(server.url, body(limit))).status).toBe(404);
    expect(await post(server.url, body(limit + 1))).toMatchObject({ status: 413, body: { error: { code: -32600 } } });
  });

  it.each([
    ['sandbox.start', { namespace: 'team' }],
    ['sandbox.start', { sandbox: '-x', namespace: 'team' }],
    ['sandbox.start', { sandbox: 'x'.repeat(64), namespace: 'team' }],
    ['sandbox.start', { sandbox: 'x', namespace: '*', config: { image: 'host' } }],
    ['sandbox.stop', { sandbox: 'x', namespace: '../team' }],
    ['sandbox.repl.run', { sandbox: 'main', namespace: 'team', language: 'python' }],
    ['sandbox.command.run', { sandbox: 'main', namespace: 'team', command: 'ls', args: 'x' }],
    ['sandbox.command.run', null],
  ])('for %s with parameters that do not fit is 400: %j', async (method, params) => {
    const message = expect.stringContaining(`Invalid params for ${method}`);
    expect(await rpc(server.url, method, params)).toEqual(fails(400, -32602, message));
  });
});

describe('sandbox.start', () => {
  const start = (sandbox: string, config?: object | null) =>
    rpc(server.url, 'sandbox.start', { sandbox, namespace: 'team', config });

  it.each([
    ['ports', { ports: ['8080:80'] }],
    ['depends_on', { depends_on: ['db'] }],
    ['exec', { exec: 'sleep infinity' }],
  ])('refuses %s by name', async (field, config) => {
    expect(await start('new', { image: 'host', ...config })).toEqual(
      fails(400, -32001, expect.stringContaining(`config.${field}`), { reason: 'unsupported' }),
    );
  });

  it('refuses folders of the host that the server does not allow, and what is no path', async () => {
    for (const volume of ['/etc:/etc', '/etc', './x:/x', `${server.folder}/allowed/../..:/x`])
      expect(await start('new', { image: 'host', volumes: [volume] })).toMatchObject({ status: 400 });
    expect(await start('new')).toEqual(fails(400, -32003, expect.any(String), { reason: 'not_found' }));
  });

  it('says why a sandbox does not start, and leaves nothing behind', async () => {
    expect(await start('new', { image: 'no/such' })).toMatchObject({ status: 400, body: { error: { data: {} } } });
    const { body } = await rpc(server.url, 'sandbox.metrics.get', { namespace: 'team', sandbox: 'new' });
    expect(body).toMatchObject({ result: { sandboxes: [] } });
  });

  it('of a running sandbox succeeds without or with the same configuration, and is refused with another one', async () => {
    expect(await start('main')).toEqual(ok('Sandbox main started successfully'));
    expect(await start('main', {})).toEqual(ok('Sandbox main started successfully'));
    expect(await start('main', { image: 'host', memory: 512 })).toEqual(
      fails(409, -32001, expect.stringContaining('runs already with another configuration'), {
        reason: 'invalid_state',
      }),
    );
    expect(await start('main', { memory: 512 })).toMatchObject({ status: 400 });
  });
});

describe('sandbox.command.run', () => {
  it('runs a command without a shell, in the workspace, and gives its lines without their ends', async () => {
    const args = ['-c', 'echo "$GREETING"; printf "a\\r\\n\\nb" >&2; exit 3'];
    const answer = await command('sh', args);
    expect(answer).toEqual(ok({ command: 'sh', args, exit_code: 3, success: false, output: expect.any(Array) }));
    const lines = await outputOf(Promise.resolve(answer));
    for (const [stream, expected] of [
      ['stdout', out('hello=you')],
      ['stderr', err('a', '', 'b')],
    ] as const)
      expect(lines.filter((line) => line.stream === stream)).toEqual(expected);
    expect(await outputOf(command('cat', ['/workspace/in.txt', '-']))).toEqual(out('of the host'));
    expect(await outputOf(command('echo', ['$HOME; *']))).toEqual(out('$HOME; *'));
  });

  it('keeps what is not UTF-8, as U+FFFD, and everything behind it', async () => {
    expect(await outputOf(command('printf', ['a\\377b\\nend\\n']))).toEqual(out('a\uFFFDb', 'end'));
  });

  it('has the old name, too, and the default namespace', async () => {
    const params = { sandbox: 'main', command: 'true' };
    expect(await rpc(server.url, 'sandbox.command.execute', { ...params, namespace: 'team' })).toMatchObject({
      status: 200,
      body: { result: { exit_code: 0, success: true, output: [] } },
    });
    expect(await rpc(server.url, 'sandbox.command.execute', params)).toEqual(
      fails(500, -32000, expect.stringContaining('start it first'), { reason: 'invalid_state' }),
    );
  });

  it('that cannot be started says so', async () => {
    expect(await command('no-such-command')).toEqual(
      fails(500, -32000, expect.stringContaining('no-such-command'), { reason: 'not_found' }),
    );
  });

  it('is killed with all that it has started when its time is up, and its output is told', async () => {
    const script = 'echo before; sleep 600 & sleep 600';
    expect(await command('sh', ['-c', script], 4)).toEqual(
      fails(500, -32000, 'The command took longer than 4.0 s; its processes were killed', {
        reason: 'deadline_exceeded',
        output: out('before'),
      }),
    );
    expect(await command('pgrep', ['-f', 'sleep 600'])).toMatchObject({ body: { result: { exit_code: 1 } } });
  });

  it('is killed when its client leaves', async () => {
    const leaving = new AbortController();
    const params = { sandbox: 'main', namespace: 'team', command: 'sh', args: ['-c', 'touch left; exec sleep 700'] };
    const running = rpc(server.url, 'sandbox.command.run', params, { signal: leaving.signal }).catch(() => 'left');
    await expect
      .poll(() => readFile(join(server.folder, 'allowed/shared/left'), 'utf8'), { timeout: 120_000 })
      .toBe('');
    leaving.abort();
    expect(await running).toBe('left');
    const sleeps = async () => outputOf(command('pgrep', ['-f', 'sleep 700']));
    await expect.poll(sleeps, { timeout: 120_000 }).toEqual([]);
  });

  it('loses nothing of a large output, and cuts a larger one with a mark', async () => {
    const lines = await outputOf(command('seq', ['1', '20000']));
    expect(lines).toEqual(out(...Array.from({ length: 20_000 }, (_, index) => String(index + 1))));
    const cut = await outputOf(command('sh', ['-c', 'head -c 1048580 /dev/zero | tr "\\0" x']));
    expect(cut).toEqual(out('x'.repeat(1_048_576), '[workcell] 4 more bytes of stdout were cut off here'));
  });
});

describe('sandbox.repl.run', () => {
  it('in Python keeps its variables, shows values, and needs no blank line after a block', async () => {
    expect(await repl('Python', 'x = 1\nfor i in range(2):\n    x += i\nprint("x is", x)\nx + 1')).toEqual(
      ok({ status: 'success', language: 'Python', output: out('x is 2', '3') }),
    );
    expect(await outputOf(repl('python', 'def f():\n    return x\n\n\nf()\nNone'))).toEqual(out('2'));
    expect((await outputOf(repl('python', 'f(\n'))).at(-1)?.text).toMatch(/^SyntaxError: /);
    expect(await outputOf(repl('python', 'import sys\nprint("e", file=sys.stderr)\n1/0'))).toEqual(
      err(
        'e',
        'Traceback (most recent call last):',
        '  File "<stdin>", line 3, in <module>',
        'ZeroDivisionError: division by zero',
      ),
    );
  });

  it('in Node keeps `let` and `const`, awaits, and shows the last value', async () => {
    expect(await outputOf(repl('javascript', 'let n = 1; const twice = (v) => v * 2'))).toEqual([]);
    expect(await outputOf(repl('NodeJS', 'n += 1\nconsole.log("n is", n)\ntwice(n)'))).toEqual(out('n is 2', '4'));
    expect(await outputOf(repl('node', 'const later = await Promise.resolve(7)\nlater'))).toEqual(out('7'));
    expect(await outputOf(repl('node', 'later + twice(1)'))).toEqual(out('9'));
    expect(await outputOf(repl('node', '{ a: 1 }'))).toEqual(out('{ a: 1 }'));
    expect((await outputOf(repl('node', 'console.error("e"); throw new TypeError("no")'))).slice(0, 2)).toEqual(
      err('e', 'Uncaught TypeError: no'),
    );
    expect((await outputOf(repl('node', 'await Promise.reject(new Error("late"))')))[0]?.text).toBe(
      'Uncaught Error: late',
    );
    expect(await outputOf(repl('node', 'if (n) {\n')).then((lines) => lines[0]?.text)).toMatch(/SyntaxError/);
  });

  it('refuses another language', async () => {
    expect(await repl('ruby', 'puts 1')).toEqual(
      fails(500, -32000, 'Unsupported language: "ruby"; use python or node', { reason: 'unsupported' }),
    );
    expect((await repl('constructor', '1')).status).toBe(500);
  });

  it('kills code whose time is up, says that the state is lost, and goes on with a new interpreter', async () => {
    await repl('python', 'kept = 1');
    const endless = 'import subprocess\nsubprocess.Popen(["sleep", "800"])\nwhile True: pass';
    const [timedOut, after] = await Promise.all([
      repl('python', endless, 1),
      repl('python', '"kept" in globals()', 60),
    ]);
    expect(timedOut).toEqual(
      fails(500, -32000, expect.stringMatching(/longer than 1\.0 s: .*python.* killed .* lost/), {
        reason: 'deadline_exceeded',
      }),
    );
    expect(after).toMatchObject({ body: { result: { output: out('False') } } });
    expect(await command('pgrep', ['-f', 'sleep 800'])).toMatchObject({ body: { result: { exit_code: 1 } } });
    expect(await repl('node', 'for (;;) {}', 1)).toMatchObject({ status: 500 });
    expect(await outputOf(repl('node', 'typeof n'))).toEqual(out("'undefined'"));
  });

  it('says so when the code ends its interpreter', async () => {
    expect(await outputOf(repl('python', 'print("bye")\nraise SystemExit(3)'))).toEqual([
      ...out('bye'),
      ...err('[workcell] the python interpreter ended with exit code 3; its variables are lost'),
    ]);
    expect(await outputOf(repl('node', 'console.log("bye"); process.exit(4)'))).toEqual([
      ...out('bye'),
      ...err('[workcell] the node interpreter ended with exit code 4; its variables are lost'),
    ]);
    expect(await outputOf(repl('python', '1 + 1'))).toEqual(out('2'));
  });

  it.each([
    [
      'python',
      'import sys\nfor i in range(20000): _ = sys.stdout.write("o%d\\n" % i)\n_ = sys.stderr.write("last\\n")',
    ],
    ['node', 'for (let i = 0; i < 20000; i++) console.log("o" + i); console.error("last")'],
  ])('in %s loses nothing of a large output at the very end', async (language, code) => {
    const lines = await outputOf(repl(language, code));
    expect(lines.filter(({ stream }) => stream === 'stdout')).toEqual(
      out(...Array.from({ length: 20_000 }, (_, index) => `o${index}`)),
    );
    expect(lines.filter(({ stream }) => stream === 'stderr')).toEqual(err('last'));
  });

  it('is not disturbed by code that forks, closes its descriptors, or reads standard input', async () => {
    expect(await outputOf(repl('python', 'import os\nif os.fork() == 0: print("child")\nelse: _ = os.wait()'))).toEqual(
      out('child'),
    );
    expect((await outputOf(repl('python', 'input()'))).at(-1)?.text).toBe('EOFError: EOF when reading a line');
    expect(await outputOf(repl('python', 'import os\nprint("a", end="")\nos.close(1)\nos.close(2)'))).toEqual(out('a'));
    expect((await repl('python', 'raise SystemExit')).status).toBe(200);
    expect(await outputOf(repl('node', 'require("fs").readFileSync(0, "utf8")'))).toEqual(out("''"));
  });

  it('evaluates one after the other, whatever comes at the same time', async () => {
    await repl('python', 'order = []');
    const runs = Array.from({ length: 8 }, (_, n) => repl('python', `order.append(${n})`));
    await Promise.all(runs);
    const check = 'sorted(order) == list(range(8)) and len(order)';
    expect(await outputOf(repl('python', check))).toEqual(out('8'));
  });
});

describe('sandbox.metrics.get', () => {
  it('tells what a sandbox uses, under both names, and in all namespaces', async () => {
    const main = {
      namespace: 'team',
      name: 'main',
      running: true,
      cpu_usage: expect.any(Number),
      memory_usage: expect.toSatisfy((mib: number) => mib > 20 && mib < 2048),
      disk_usage: null,
    };
    for (const params of [
      { namespace: 'team', sandbox: 'main' },
      { namespace: '*' },
      { namespace: 'team', sandbox: null },
    ])
      expect(await rpc(server.url, 'sandbox.metrics.get', params)).toEqual(ok({ sandboxes: [main] }));
    expect(await rpc(server.url, 'sandbox.getStatus', { namespace: 'team' })).toEqual(ok({ sandboxes: [main] }));
    expect(await rpc(server.url, 'sandbox.metrics.get', { namespace: 'other' })).toEqual(ok({ sandboxes: [] }));
  });
});

describe('sandbox.stop', () => {
  it('ends the sandbox, which is started again from what is known of it, once for all that ask at the same time', async () => {
    const named = { sandbox: 'main', namespace: 'team' };
    await repl('python', 'gone = 1');
    expect(await rpc(server.url, 'sandbox.stop', named)).toEqual(ok('Sandbox main stopped successfully'));
    expect(await rpc(server.url, 'sandbox.stop', named)).toEqual(ok('Sandbox main stopped successfully'));
    expect(await rpc(server.url, 'sandbox.stop', { ...named, sandbox: 'never' })).toMatchObject({ status: 400 });
    expect(await command('true')).toMatchObject({
      status: 500,
      body: { error: { data: { reason: 'invalid_state' } } },
    });
    const stopped = { ...named, name: 'main', running: false };
    expect(await rpc(server.url, 'sandbox.metrics.get', named)).toMatchObject({
      body: { result: { sandboxes: [{ namespace: 'team', name: stopped.name, running: false, cpu_usage: null }] } },
    });
    const starts = await Promise.all([1, 2, 3].map(() => rpc(server.url, 'sandbox.start', named)));
    expect(starts).toEqual([1, 2, 3].map(() => ok('Sandbox main started successfully')));
    expect(await outputOf(repl('python', '"gone" in globals()'))).toEqual(out('False'));
    expect(await outputOf(command('cat', ['in.txt']))).toEqual(out('of the host'));
  });
});
