import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentClient, outcomeOf } from '../support/agent-client.ts';
import { eventually } from '../support/processes.ts';
import { openServer, type TestServer } from '../support/sandbox-server.ts';

let server: TestServer;
let sandbox: string;
let client: AgentClient;

beforeAll(async () => {
  server = await openServer();
  ({ id: sandbox } = await server.start('agent', {
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
    ['in a terminal', { cmd: 'sh', tty: true }, { kind: 'pty_setup_failed' }],
    ['as somebody else', { cmd: 'id', user: 'nobody' }, { kind: 'user_setup_failed' }],
    ['with limits', { cmd: 'id', rlimits: [{ resource: 'nofile', soft: 1, hard: 1 }] }, { kind: 'resource_limit' }],
  ])('%s fails, and nothing else does', async (_what, request, failure) => {
    const messages = await client.request('core.exec.request', request);
    expect(messages.map(({ type }) => type)).toEqual(['core.exec.failed']);
    expect(messages[0]?.payload).toMatchObject({ ...failure, message: expect.any(String) });
    expect((await shell('echo alive')).stdout).toBe('alive\n');
  });
});

describe('files', () => {
  const fs = async (op: Readonly<Record<string, unknown>>) => {
    const messages = await client.request('core.fs.request', { op });
    return { data: messages.slice(0, -1), answer: messages.at(-1)?.payload };
  };
  const open = async (path: string, options: object) => {
    const all = {
      read: false,
      write: false,
      append: false,
      create: false,
      truncate: false,
      create_new: false,
      mode: null,
    };
    const { answer } = await fs({ OpenFile: { path, options: { ...all, ...options } } });
    return (answer as { data: { Handle: number } }).data.Handle;
  };

  it('are written and read through frames', async () => {
    const content = Buffer.alloc(3_000_000, 'abc');
    const out = await open('/tmp/big', { write: true, create: true, truncate: true });
    const id = client.newId();
    client.send(id, 'core.fs.request', { op: { Write: { handle: out, offset: 0, len: content.length } } });
    for (let at = 0; at < content.length; at += 1_000_000) {
      client.send(id, 'core.fs.data', { data: content.subarray(at, at + 1_000_000) });
    }
    client.send(id, 'core.fs.data', { data: Buffer.alloc(0) });
    expect((await client.untilEnd(id)).at(-1)?.payload).toMatchObject({ ok: true });
    await fs({ CloseHandle: { handle: out } });

    const input = await open('/tmp/big', { read: true });
    const { data, answer } = await fs({ Read: { handle: input, offset: 0, len: null } });
    expect(answer).toMatchObject({ ok: true });
    expect(Buffer.concat(data.map(({ payload }) => (payload as { data: Buffer }).data)).equals(content)).toBe(true);
    const part = await fs({ Read: { handle: input, offset: 4, len: 5 } });
    expect(part.data.map(({ payload }) => String((payload as { data: Buffer }).data))).toEqual(['bcabc']);
    await fs({ CloseHandle: { handle: input } });
    expect((await fs({ Read: { handle: input, offset: 0 } })).answer).toMatchObject({
      ok: false,
      error: expect.stringContaining('no open file'),
    });
  });

  it('that come short of what was announced are a failure', async () => {
    const handle = await open('/tmp/short', { write: true, create: true });
    const id = client.newId();
    client.send(id, 'core.fs.request', { op: { Write: { handle, offset: 0, len: 10 } } });
    client.send(id, 'core.fs.data', { data: Buffer.from('abc') });
    client.send(id, 'core.fs.data', { data: Buffer.alloc(0) });
    expect((await client.untilEnd(id)).at(-1)?.payload).toMatchObject({
      ok: false,
      error: '10 bytes were announced and 3 came',
    });
  });

  it('are described, listed, changed, copied, linked, renamed and removed', async () => {
    await shell('mkdir -p /tmp/tree && cd /tmp/tree && printf abc > a');
    const stat = async (path: string) => (await fs({ Stat: { path, follow_symlink: false } })).answer;
    expect(await stat('/tmp/tree/a')).toMatchObject({ ok: true, data: { Stat: { kind: 'file', size: 3, uid: 0 } } });
    const attrs = { mode: 0o640, mtime: 1_000_000_000, size: 2, uid: null };
    expect((await fs({ SetStat: { path: '/tmp/tree/a', follow_symlink: true, attrs } })).answer).toMatchObject({
      ok: true,
    });
    expect(await stat('/tmp/tree/a')).toMatchObject({ data: { Stat: { size: 2, mode: 0o640, mtime: 1_000_000_000 } } });
    await fs({ Symlink: { target: 'a', link_path: '/tmp/tree/link' } });
    expect(await stat('/tmp/tree/link')).toMatchObject({ data: { Stat: { kind: 'symlink' } } });
    expect((await fs({ ReadLink: { path: '/tmp/tree/link' } })).answer).toMatchObject({ data: { Path: 'a' } });
    await fs({ Copy: { src: '/tmp/tree/a', dst: '/tmp/tree/b' } });
    await fs({ Rename: { src: '/tmp/tree/b', dst: '/tmp/tree/c' } });
    await fs({ Mkdir: { path: '/tmp/tree/d/e', mode: 0o700 } });
    const names = (list: unknown) => (list as { data: { List: { path: string }[] } }).data.List.map(({ path }) => path);
    expect(names((await fs({ List: { path: '/tmp/tree' } })).answer)).toEqual(
      ['a', 'c', 'd', 'link'].map((name) => `/tmp/tree/${name}`),
    );
    await fs({ Remove: { path: '/tmp/tree/c' } });
    expect((await fs({ RemoveDir: { path: '/tmp/tree', recursive: false } })).answer).toMatchObject({ ok: false });
    expect((await fs({ RemoveDir: { path: '/tmp/tree', recursive: true } })).answer).toMatchObject({ ok: true });
    expect(await stat('/tmp/tree')).toMatchObject({ ok: false, error: expect.stringContaining('ENOENT'), data: null });
  });

  it.each([[{ Explode: {} }], [{}], [null], [5]])('know no operation %j', async (op) => {
    const [answer] = await client.request('core.fs.request', { op });
    expect(answer?.payload).toMatchObject({ ok: false });
  });
});

describe('the agent', () => {
  it('answers to a ping, and counts what touches it', async () => {
    expect((await client.request('core.ping', {})).map(({ type }) => type)).toEqual(['core.pong']);
    const touch = async () => (await client.request('core.touch', {})).map(({ payload }) => payload);
    expect([await touch(), await touch()]).toEqual([[{ activity_seq: 1 }], [{ activity_seq: 2 }]]);
  });

  it.each([
    ['a type that it does not know', 'core.nonsense', {}, 'unsupported_message_type'],
    [
      'a message that only the relay may send',
      'core.relay.client.disconnected',
      { id_start: 0, id_end_exclusive: 2 ** 32 },
      'unsupported_message_type',
    ],
  ])('refuses %s', async (_what, type, payload, kind) => {
    expect((await client.request(type, payload)).at(-1)).toMatchObject({ type: 'core.error', payload: { kind } });
  });

  it('survives a client that talks nonsense to the runner', async () => {
    const { end } = await client.exec({ cmd: '/opt/workcell/bin/runner' }, 'nonsense\n[]\n');
    expect(end).toEqual({ code: 0 });
    expect((await shell('echo alive')).stdout).toBe('alive\n');
  });
});

describe('two clients at once', () => {
  it('have ids that do not overlap, and get what is theirs', async () => {
    const other = await AgentClient.open(server, sandbox);
    expect(other.range.start >= client.range.end || other.range.end <= client.range.start).toBe(true);
    const [mine, theirs] = await Promise.all([shell('echo mine'), other.exec({ cmd: 'echo', args: ['theirs'] })]);
    expect([mine.stdout, theirs.stdout]).toEqual(['mine\n', 'theirs\n']);
    const inRange = ({ id }: { id: number }) => id === 0 || (id >= other.range.start && id < other.range.end);
    expect(other.messages.every(inRange)).toBe(true);
    other.socket.terminate();
  });

  it.each([
    ['of another client', () => client.range.start + 7],
    ['of nobody', () => 0],
  ])('one that uses an id %s is cut off, and the other is not', async (_what, id) => {
    const other = await AgentClient.open(server, sandbox);
    const closed = once(other.socket, 'close');
    other.send(id(), 'core.ping');
    await closed;
    expect((await shell('echo alive')).stdout).toBe('alive\n');
  });

  it('one that sends no frames is cut off', async () => {
    const other = await AgentClient.open(server, sandbox);
    const closed = once(other.socket, 'close');
    other.socket.send(Buffer.alloc(16, 0xff));
    await closed;
  });

  it('one that goes away takes with it what it has started, and nothing else', async () => {
    const other = await AgentClient.open(server, sandbox);
    const kept = client.newId();
    client.send(kept, 'core.exec.request', { cmd: 'sleep', args: ['5001'] });
    other.send(other.newId(), 'core.exec.request', { cmd: 'sh', args: ['-c', 'sleep 5002 & sleep 5002'] });
    const count = async (seconds: number) =>
      Number((await shell(`ps -e -o args= | grep -c '^sleep ${seconds}'`)).stdout);
    await eventually(async () => (await count(5002)) === 2);
    other.socket.terminate();
    await eventually(async () => (await count(5002)) === 0);
    expect(await count(5001)).toBe(1);
    client.send(kept, 'core.exec.signal', { signal: 9 });
    await client.untilEnd(kept);
  });
});
