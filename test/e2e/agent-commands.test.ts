import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentClient, outcomeOf } from '../support/agent-client.ts';
import { eventually } from '../support/processes.ts';
import { openServer, type TestServer } from '../support/sandbox-server.ts';

let server: TestServer;
let sandbox: string;
let client: AgentClient;

beforeAll(async () => {
  server = await openServer();
  ({ id: sandbox } = await server.start('commands', {
    env: [{ key: 'FROM_SPEC', value: 'a=b' }],
    runtime: { workdir: '/tmp' },
  }));
  client = await AgentClient.open(server, sandbox);
});

afterAll(async () => {
  client?.socket.terminate();
  await server[Symbol.asyncDispose]();
});

const shell = (command: string, input?: string) => client.exec({ cmd: 'sh', args: ['-c', command] }, input);
const textOf = (id: number) => outcomeOf(client.of(id)).stdout;
const countOf = async (what: string) => Number((await shell(`ps -e -o args= | grep -c '^${what}'`)).stdout);

beforeAll(() => shell('mkdir -m 700 /root-only && cp /bin/sh /root-only/tool'));

describe('a command', () => {
  it('has output, an exit code, its working directory and its environment', async () => {
    expect(await shell('echo out; echo err >&2; pwd; exit 3')).toEqual({
      stdout: 'out\n/tmp\n',
      stderr: 'err\n',
      end: { code: 3 },
    });
    const env = await client.exec({
      cmd: 'sh',
      args: ['-c', 'echo $FROM_SPEC $MORE; pwd'],
      env: ['MORE=1=2'],
      cwd: '/usr',
    });
    expect(env.stdout).toBe('a=b 1=2\n/usr\n');
  });

  it('reads its input to the end', async () => {
    expect(await client.exec({ cmd: 'cat' }, 'héllo')).toEqual({ stdout: 'héllo', stderr: '', end: { code: 0 } });
    expect(await shell('wc -c', 'x'.repeat(900_000))).toMatchObject({ stdout: '900000\n' });
  });

  it('can be sent a signal, and its end says which', async () => {
    const id = client.newId();
    client.send(id, 'core.exec.request', { cmd: 'sleep', args: ['1000'] });
    await eventually(() => client.of(id).some(({ type }) => type === 'core.exec.started'));
    client.send(id, 'core.exec.signal', { signal: 15 });
    expect(outcomeOf(await client.untilEnd(id)).end).toEqual({ code: 128 + 15 });
  });

  it('can write more than a frame holds', async () => {
    const { stdout, end } = await shell('head -c 9000000 /dev/zero | tr "\\0" x');
    expect(stdout.length).toBe(9_000_000);
    expect(end).toEqual({ code: 0 });
  });

  it.each([
    ['that is not there', { cmd: 'no-such-command' }, { kind: 'not_found', errno: 2, errno_name: 'ENOENT' }],
    [
      'that may not be executed',
      { cmd: '/etc/passwd' },
      { kind: expect.stringMatching(/permission_denied|not_found/) },
    ],
    ['in a folder that is not there', { cmd: 'true', cwd: '/none' }, { kind: 'bad_cwd', stage: 'chdir' }],
    ['in a folder that is a file', { cmd: 'true', cwd: '/proc/version/x' }, { kind: 'bad_cwd' }],
    ['without a name', { cmd: '' }, { kind: 'bad_args' }],
    ['with a NUL', { cmd: 'echo', args: ['a\0b'] }, { kind: 'bad_args' }],
    [
      'with arguments beyond what the kernel takes',
      { cmd: 'echo', args: ['x'.repeat(3_000_000)] },
      { kind: 'bad_args' },
    ],
    ['as somebody who is not there', { cmd: 'id', user: 'nemo' }, { kind: 'user_setup_failed', stage: 'getpwnam' }],
    ['of a group that is not there', { cmd: 'id', user: 'root:nemo' }, { kind: 'user_setup_failed' }],
    ['as nobody at all', { cmd: 'id', user: ':0' }, { kind: 'user_setup_failed' }],
    [
      'with a limit on what cannot be limited',
      { cmd: 'id', rlimits: [{ resource: 'cake', soft: 1, hard: 1 }] },
      { kind: 'resource_limit', errno_name: 'EINVAL', stage: 'setrlimit(RLIMIT_CAKE)' },
    ],
    [
      'with a limit that nobody may have',
      { cmd: 'id', user: 'nobody', rlimits: [{ resource: 'nofile', soft: 2 ** 30, hard: 2 ** 30 }] },
      { kind: 'resource_limit', errno: 1, errno_name: 'EPERM', stage: 'setrlimit(RLIMIT_NOFILE)' },
    ],
    [
      'in a terminal, and is not there',
      { cmd: 'no-such-command', tty: true },
      { kind: 'not_found', errno: 2, stage: 'execvp' },
    ],
    ['in a terminal, in a folder that is not there', { cmd: 'sh', tty: true, cwd: '/none' }, { kind: 'bad_cwd' }],
    [
      'that its user may not execute',
      { cmd: '/root-only/tool', user: 'nobody' },
      { kind: 'permission_denied', errno_name: 'EACCES' },
    ],
  ])('%s fails, and nothing else does', async (_what, request, failure) => {
    const messages = await client.request('core.exec.request', request);
    expect(messages.map(({ type }) => type)).toEqual(['core.exec.failed']);
    expect(messages[0]?.payload).toMatchObject({ ...failure, message: expect.any(String) });
    expect((await shell('echo alive')).stdout).toBe('alive\n');
  });
});

describe('the user of a command', () => {
  it.each([
    ['a name', 'nobody', '65534 65534 65534'],
    ['an id', '65534', '65534 65534 65534'],
    ['an id that the guest has no name for', '4242', '4242 0 0'],
    ['a name and a group', 'nobody:root', '65534 0 0'],
    ['an id and an id', '4242:4343', '4242 4343 4343'],
    ['root', 'root', '0 0 0'],
  ])('is given by %s', async (_what, user, ids) => {
    const { stdout, end } = await client.exec({ cmd: 'sh', args: ['-c', 'echo $(id -u) $(id -g) $(id -G)'], user });
    expect({ stdout, end }).toEqual({ stdout: `${ids}\n`, end: { code: 0 } });
  });

  it('has a home, unless the command says otherwise', async () => {
    const home = (env: readonly string[]) =>
      client.exec({ cmd: 'sh', args: ['-c', 'echo $HOME'], user: 'nobody', env }).then(({ stdout }) => stdout);
    const passwd = (await shell("grep '^nobody:' /etc/passwd")).stdout;
    expect(await home([])).toBe(`${passwd.split(':')[5]}\n`);
    expect(await home(['HOME=/elsewhere'])).toBe('/elsewhere\n');
  });

  it('may not do what root may', async () => {
    const { end } = await client.exec({ cmd: 'cat', args: ['/root-only/tool'], user: 'nobody' });
    expect(end).toEqual({ code: 1 });
  });
});

describe('the limits of a command', () => {
  it('are set for it, soft and hard, and for nothing else', async () => {
    const before = (await shell('ulimit -n')).stdout;
    const rlimits = [
      { resource: 'nofile', soft: 64, hard: 128 },
      { resource: 'core', soft: 0, hard: 2n ** 64n - 1n },
    ];
    const { stdout } = await client.exec({
      cmd: 'sh',
      args: ['-c', 'ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc'],
      rlimits,
    });
    expect(stdout).toBe('64\n128\n0\nunlimited\n');
    expect((await shell('ulimit -n')).stdout).toBe(before);
  });

  it('can be on everything that the protocol names', async () => {
    const names = 'cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime';
    const rlimits = names
      .split(' ')
      .map((resource, index) => ({ resource, soft: 10 ** 9 + index, hard: 10 ** 9 + index }));
    const usable = rlimits.map((limit) => (limit.resource === 'nofile' ? { ...limit, soft: 1007, hard: 1007 } : limit));
    const { stdout } = await client.exec({ cmd: 'cat', args: ['/proc/self/limits'], rlimits: usable });
    const soft = stdout
      .split('\n')
      .slice(1, -1)
      .map((line) => Number(/ (\d+) /.exec(line)?.[1]));
    // The kernel lists them in the order of their numbers, which is that of the names above.
    expect(soft).toEqual(usable.map((limit) => limit.soft));
  });

  it('hold', async () => {
    const rlimits = [{ resource: 'fsize', soft: 4096, hard: 4096 }];
    const { end } = await client.exec({ cmd: 'sh', args: ['-c', 'head -c 9999 /dev/zero > /tmp/limited'], rlimits });
    expect(end).not.toEqual({ code: 0 });
    expect((await shell('wc -c < /tmp/limited')).stdout).toBe('4096\n');
  });
});

describe('a terminal', () => {
  const open = (request: object = {}): number => {
    const id = client.newId();
    client.send(id, 'core.exec.request', { cmd: 'sh', tty: true, env: ['PS1=$ '], ...request });
    return id;
  };
  const type = (id: number, text: string) => client.send(id, 'core.exec.stdin', { data: Buffer.from(text) });

  it('is what the command runs in, of the size that was asked for', async () => {
    const id = open({
      args: ['-c', 'stty size; tty; test -t 0 && test -t 1 && test -t 2 && echo all'],
      rows: 33,
      cols: 101,
    });
    const { stdout, end } = outcomeOf(await client.untilEnd(id));
    expect(stdout).toMatch(/^33 101\r\n\/dev\/pts\/\d+\r\nall\r\n$/);
    expect(end).toEqual({ code: 0 });
  });

  it('has 24 rows of 80 columns when nothing else is said', async () => {
    const { stdout } = outcomeOf(await client.untilEnd(open({ args: ['-c', 'stty size'] })));
    expect(stdout).toBe('24 80\r\n');
  });

  it('echoes what is typed, carries signals of keys, changes its size, and ends with the shell', async () => {
    const id = open();
    type(id, 'echo a$((1+1))b\n');
    await eventually(() => textOf(id).includes('a2b'));
    type(id, 'sleep 6001; echo interrupted $?\n');
    await eventually(async () => (await countOf('sleep 6001')) === 1);
    type(id, '\x03');
    await eventually(async () => (await countOf('sleep 6001')) === 0);
    client.send(id, 'core.exec.resize', { rows: 10, cols: 20 });
    client.send(id, 'core.exec.resize', { rows: 11, cols: 22 });
    const size = async () => {
      const before = textOf(id).length;
      type(id, 'stty size\n');
      return await eventually(() => /(\d+ \d+)\r\n/.exec(textOf(id).slice(before))?.[1]);
    };
    await eventually(async () => (await size()) === '11 22');
    type(id, 'exit 7\n');
    expect((await client.untilEnd(id)).at(-1)?.payload).toEqual({ code: 7 });
  });

  it('takes more than it has room for, when its command reads', async () => {
    const id = open({ args: ['-c', 'stty raw -echo; echo ready; sleep 1; head -c 300000 | wc -c'] });
    await eventually(() => textOf(id).includes('ready'));
    for (let sent = 0; sent < 300_000; sent += 100_000) type(id, 'x'.repeat(100_000));
    expect(outcomeOf(await client.untilEnd(id)).stdout).toContain('300000');
  });

  it('may be somebody else, with limits', async () => {
    const id = open({
      args: ['-c', 'id -u; ulimit -n'],
      user: 'nobody',
      rlimits: [{ resource: 'nofile', soft: 50, hard: 50 }],
    });
    expect(outcomeOf(await client.untilEnd(id)).stdout).toBe('65534\r\n50\r\n');
  });

  it('goes with its client, and with it the jobs of its shell', async () => {
    const other = await AgentClient.open(server, sandbox);
    const id = other.newId();
    other.send(id, 'core.exec.request', { cmd: 'sh', tty: true });
    other.send(id, 'core.exec.stdin', { data: Buffer.from('set -m; nohup sleep 6002 & sleep 6002\n') });
    await eventually(async () => (await countOf('sleep 6002')) === 2);
    other.socket.terminate();
    await eventually(async () => (await countOf('sleep 6002')) === 0);
  });
});

describe('input that a command does not read', () => {
  it('is refused with its errno once the command has closed it, and the command goes on', async () => {
    const id = client.newId();
    client.send(id, 'core.exec.request', {
      cmd: 'sh',
      args: ['-c', 'exec <&-; echo closed; until [ -e /tmp/go-on ]; do sleep 0.1; done; exit 4'],
    });
    await eventually(() => textOf(id).includes('closed'));
    client.send(id, 'core.exec.stdin', { data: Buffer.from('x') });
    const refusal = await eventually(() => client.of(id).find(({ type }) => type === 'core.exec.stdin.error'));
    await shell('touch /tmp/go-on');
    const messages = await client.untilEnd(id);
    expect(refusal.payload).toMatchObject({ errno: 32, errno_name: 'EPIPE' });
    expect(messages.at(-1)?.payload).toEqual({ code: 4 });
  });
});

describe('a client', () => {
  it('may have 256 commands at a time, and is told about the next', async () => {
    const other = await AgentClient.open(server, sandbox);
    const start = () => {
      const id = other.newId();
      other.send(id, 'core.exec.request', { cmd: '/opt/workcell/bin/runner' });
      return id;
    };
    const ids = Array.from({ length: 256 }, start);
    await eventually(() => ids.every((id) => other.of(id).some(({ type }) => type === 'core.exec.started')));
    const [refused] = await other.untilEnd(start());
    expect(refused).toMatchObject({ type: 'core.exec.failed', payload: { kind: 'resource_limit' } });
    other.socket.terminate();
    expect((await shell('echo alive')).stdout).toBe('alive\n');
  });
});
