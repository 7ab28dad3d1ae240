import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeFrame, type RawFrame } from '../../src/protocol/agent-frames.ts';
import { encodeAnyMessage } from '../../src/protocol/agent-messages.ts';
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

const fs = async (op: unknown, by = client) => {
  const messages = await by.request('core.fs.request', { op });
  return { data: messages.slice(0, -1), answer: messages.at(-1)?.payload };
};
const ok = (data: unknown = null) => ({ ok: true, error: null, data });
const failed = (error: unknown) => ({ ok: false, error, data: null });
const options = (given: object) => ({
  read: false,
  write: false,
  append: false,
  create: false,
  truncate: false,
  create_new: false,
  mode: null,
  ...given,
});
const open = async (path: string, given: object) => {
  const { answer } = await fs({ OpenFile: { path, options: options(given) } });
  return (answer as { data: { Handle: number } }).data.Handle;
};
const openFolder = async (path: string, by = client) => {
  const { answer } = await fs({ OpenDir: { path } }, by);
  return (answer as { data: { Handle: number } }).data.Handle;
};
const write = async (handle: number, chunks: readonly Uint8Array[], range: object = { offset: 0, len: null }) => {
  const id = client.newId();
  client.send(id, 'core.fs.request', { op: { Write: { handle, ...range } } });
  for (const data of [...chunks, Buffer.alloc(0)]) client.send(id, 'core.fs.data', { data });
  // Data for a session that was refused is refused, too; the first answer is the one to the request.
  return (await client.untilEnd(id)).find(({ type }) => type === 'core.fs.response')?.payload;
};
const names = (answer: unknown) => (answer as { data: { List: { path: string }[] } }).data.List.map(({ path }) => path);

describe('files', () => {
  it('are written and read through frames', async () => {
    const content = Buffer.alloc(7_000_000, 'abc');
    const out = await open('/tmp/big', { write: true, create: true, truncate: true });
    // As large as the original's clients make them.
    const chunks = [0, 1, 2].map((part) => content.subarray(part * 3 * 1024 ** 2, (part + 1) * 3 * 1024 ** 2));
    expect(await write(out, chunks, { offset: 0, len: content.length })).toEqual(ok());
    expect((await fs({ CloseHandle: { handle: out } })).answer).toEqual(ok());

    const input = await open('/tmp/big', { read: true });
    const { data, answer } = await fs({ Read: { handle: input, offset: 0, len: null } });
    expect(answer).toEqual(ok());
    const parts = data.map(({ payload }) => (payload as { data: Buffer }).data);
    expect(Buffer.concat(parts).equals(content)).toBe(true);
    expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(1024 ** 2);
    const part = await fs({ Read: { handle: input, offset: 4, len: 5 } });
    expect(part.data.map(({ payload }) => String((payload as { data: Buffer }).data))).toEqual(['bcabc']);
    await fs({ CloseHandle: { handle: input } });
    expect((await fs({ Read: { handle: input, offset: 0 } })).answer).toEqual(failed(`read: invalid handle: ${input}`));
  });

  it('are written at an offset, or appended to', async () => {
    const at = await open('/tmp/parts', { write: true, read: true, create: true });
    await write(at, [Buffer.from('abcdef')]);
    await write(at, [Buffer.from('X')], { offset: 2, len: 1 });
    const end = await open('/tmp/parts', { append: true });
    expect(await write(end, [Buffer.from('12'), Buffer.from('3')])).toEqual(ok());
    expect((await shell('cat /tmp/parts')).stdout).toBe('abXdef123');
  });

  it('that come short of what was announced are a failure', async () => {
    const handle = await open('/tmp/short', { write: true, create: true });
    expect(await write(handle, [Buffer.from('abc')], { offset: 0, len: 10 })).toEqual(
      failed('write length mismatch: expected 10, wrote 3'),
    );
    const id = client.newId();
    client.send(id, 'core.fs.data', { data: Buffer.from('abc') });
    expect((await client.untilEnd(id)).at(-1)?.payload).toEqual(failed(`unknown write session: ${id}`));
  });

  it('are described, listed, changed, copied, linked, renamed and removed', async () => {
    await shell('mkdir -p /tmp/tree && cd /tmp/tree && printf abc > a');
    const stat = async (path: string) => (await fs({ Stat: { path, follow_symlink: false } })).answer;
    expect(await stat('/tmp/tree/a')).toMatchObject({ ok: true, data: { Stat: { kind: 'file', size: 3, uid: 0 } } });
    const attrs = { mode: 0o640, mtime: 1_000_000_000, size: 2, uid: null };
    expect((await fs({ SetStat: { path: '/tmp/tree/a', follow_symlink: true, attrs } })).answer).toEqual(ok());
    expect(await stat('/tmp/tree/a')).toMatchObject({
      data: { Stat: { size: 2, mode: 0o100640, mtime: 1_000_000_000, modified: 1_000_000_000 } },
    });
    await fs({ Symlink: { target: 'a', link_path: '/tmp/tree/link' } });
    expect(await stat('/tmp/tree/link')).toMatchObject({ data: { Stat: { kind: 'symlink' } } });
    expect((await fs({ ReadLink: { path: '/tmp/tree/link' } })).answer).toEqual(ok({ Path: 'a' }));
    const through = { path: '/tmp/tree/link', follow_symlink: false, attrs: { mode: 0o600 } };
    expect((await fs({ SetStat: through })).answer).toEqual(
      failed('setstat: chmod on symlink without following is not supported'),
    );
    expect((await fs({ RealPath: { path: '/tmp/tree/link' } })).answer).toEqual(ok({ Path: '/tmp/tree/a' }));
    expect((await fs({ RealPath: { path: '/tmp/tree/../tree/new' } })).answer).toEqual(ok({ Path: '/tmp/tree/new' }));
    await fs({ Copy: { src: '/tmp/tree/a', dst: '/tmp/tree/b' } });
    await fs({ Rename: { src: '/tmp/tree/b', dst: '/tmp/tree/c' } });
    await fs({ Mkdir: { path: '/tmp/tree/d/e', mode: 0o700 } });
    expect(await stat('/tmp/tree/d/e')).toMatchObject({ data: { Stat: { kind: 'dir', mode: 0o40700 } } });
    expect(names((await fs({ List: { path: '/tmp/tree' } })).answer)).toEqual(
      ['a', 'c', 'd', 'link'].map((name) => `/tmp/tree/${name}`),
    );
    expect((await fs({ Remove: { path: '/tmp/tree/c' } })).answer).toEqual(ok());
    expect((await fs({ RemoveDir: { path: '/tmp/tree', recursive: false } })).answer).toEqual(
      failed('remove_dir: Directory not empty (os error 39)'),
    );
    expect((await fs({ RemoveDir: { path: '/tmp/tree', recursive: true } })).answer).toEqual(ok());
    expect(await stat('/tmp/tree')).toEqual(failed('stat: No such file or directory (os error 2)'));
  });

  it('that are open can be described and changed', async () => {
    const handle = await open('/tmp/opened', { read: true, write: true, create: true, mode: 0o600 });
    const attrs = { size: 5, mode: 0o604, uid: 3, gid: 4, atime: 1_000_000_001, mtime: 1_000_000_002 };
    expect((await fs({ FSetStat: { handle, attrs } })).answer).toEqual(ok());
    const { size, mode, ...times } = attrs;
    expect((await fs({ FStat: { handle } })).answer).toEqual(
      ok({
        Stat: { path: '/tmp/opened', kind: 'file', size, mode: 0o100000 | mode, modified: 1_000_000_002, ...times },
      }),
    );
    const folder = await openFolder('/tmp');
    expect((await fs({ FStat: { handle: folder } })).answer).toMatchObject(ok({ Stat: { path: '/tmp', kind: 'dir' } }));
    expect((await fs({ FSetStat: { handle: folder, attrs } })).answer).toEqual(
      failed(`fsetstat: handle ${folder} is a directory`),
    );
  });

  it('of a folder are listed by pages, each once, until an empty page', async () => {
    await shell('mkdir /tmp/pages && cd /tmp/pages && seq 1 300 | xargs touch');
    const handle = await openFolder('/tmp/pages');
    const sizes: number[] = [];
    const all = new Set<string>();
    for (const limit of [7, null, 0, 10_000, null]) {
      const page = names((await fs({ ReadDir: { handle, limit } })).answer);
      sizes.push(page.length);
      for (const path of page) all.add(path);
    }
    expect(sizes).toEqual([7, 128, 1, 164, 0]);
    expect(all.size).toBe(300);
    expect((await fs({ CloseHandle: { handle } })).answer).toEqual(ok());
  });

  it.each([
    ['RealPath', { path: '/none/x' }, 'realpath: No such file or directory (os error 2)'],
    ['Stat', { path: '/proc/version/x', follow_symlink: true }, 'stat: Not a directory (os error 20)'],
    [
      'SetStat',
      { path: '/none', follow_symlink: true, attrs: { mode: 1 } },
      'setstat: No such file or directory (os error 2)',
    ],
    ['List', { path: '/none' }, 'readdir: opendir: No such file or directory (os error 2)'],
    ['ReadLink', { path: '/proc/version' }, 'readlink: Invalid argument (os error 22)'],
    ['Symlink', { target: 'x', link_path: '/proc' }, 'symlink: File exists (os error 17)'],
    ['Mkdir', { path: '/proc/version' }, 'mkdir: File exists (os error 17)'],
    ['Remove', { path: '/proc' }, 'remove: Is a directory (os error 21)'],
    ['RemoveDir', { path: '/proc/version', recursive: true }, 'remove_dir: Not a directory (os error 20)'],
    ['RemoveDir', { path: '/none', recursive: true }, 'remove_dir: No such file or directory (os error 2)'],
    ['Copy', { src: '/none', dst: '/tmp/x' }, 'copy: No such file or directory (os error 2)'],
    ['Copy', { src: '/dev/zero', dst: '/tmp/x' }, 'copy: Invalid argument (os error 22)'],
    ['Rename', { src: '/none', dst: '/tmp/x' }, 'rename: No such file or directory (os error 2)'],
    ['OpenFile', { path: '/none', options: options({ read: true }) }, 'open: No such file or directory (os error 2)'],
    ['OpenFile', { path: '/proc/version', options: options({}) }, 'open: Invalid argument (os error 22)'],
    ['OpenDir', { path: '/proc/version' }, 'opendir: Not a directory (os error 20)'],
    ['CloseHandle', { handle: 999_999 }, 'close: invalid handle: 999999'],
    ['Read', { handle: 999_999, offset: 0 }, 'read: invalid handle: 999999'],
    ['Write', { handle: 999_999, offset: 0 }, 'write: invalid handle: 999999'],
    ['ReadDir', { handle: 999_999 }, 'readdir: invalid handle: 999999'],
    ['FStat', { handle: 999_999 }, 'fstat: invalid handle: 999999'],
    ['FSetStat', { handle: 999_999, attrs: {} }, 'fsetstat: invalid handle: 999999'],
  ])('cannot do the impossible: %s of %j', async (name, args, error) => {
    expect((await fs({ [name]: args })).answer).toEqual(failed(error));
  });

  it('are used only as they were opened', async () => {
    const reading = await open('/proc/version', { read: true });
    const writing = await open('/tmp/opened', { write: true });
    const folder = await openFolder('/proc');
    expect(await write(reading, [])).toEqual(failed(`write: handle ${reading} is not open for writing`));
    expect((await fs({ Read: { handle: writing, offset: 0 } })).answer).toEqual(
      failed(`read: handle ${writing} is not open for reading`),
    );
    expect((await fs({ Read: { handle: folder, offset: 0 } })).answer).toEqual(
      failed(`read: handle ${folder} is a directory`),
    );
    expect((await fs({ ReadDir: { handle: reading } })).answer).toEqual(failed(`readdir: handle ${reading} is a file`));
  });

  it('of one client are none of another, and close when it goes', async () => {
    const other = await AgentClient.open(server, sandbox);
    const handle = await openFolder('/tmp/pages', other);
    expect((await fs({ CloseHandle: { handle } })).answer).toEqual(
      failed(`close: handle ${handle} is owned by a different relay client`),
    );
    other.socket.terminate();
    await eventually(async () => JSON.stringify((await fs({ FStat: { handle } })).answer).includes('invalid handle'));
  });

  it('may be open 1024 at a time for one client, and no more', async () => {
    const other = await AgentClient.open(server, sandbox);
    for (let count = 0; count < 1024; count += 128) {
      const opened = await Promise.all(Array.from({ length: 128 }, () => openFolder('/proc', other)));
      expect(opened.every(Number.isInteger)).toBe(true);
    }
    expect((await fs({ OpenDir: { path: '/proc' } }, other)).answer).toEqual(
      failed('opendir: too many open filesystem handles for relay client: 1024'),
    );
    expect(await openFolder('/proc')).toBeGreaterThan(0);
    other.socket.terminate();
  });

  it('that nobody writes to do not hold up the others', async () => {
    await shell('mkfifo /tmp/fifo');
    const handles = await Promise.all(Array.from({ length: 8 }, () => open('/tmp/fifo', { read: true })));
    expect(handles.every(Number.isInteger)).toBe(true);
    expect((await fs({ RealPath: { path: '/tmp' } })).answer).toEqual(ok({ Path: '/tmp' }));
  });

  it.each([[{ Explode: {} }], [{}], [null], [5], [{ Stat: { path: 3 } }], [{ Stat: {}, List: {} }]])(
    'know no operation %j',
    async (op) => {
      const [answer] = await client.request('core.fs.request', { op });
      expect(answer).toMatchObject({
        type: 'core.error',
        payload: { kind: 'invalid_payload', offending_type: 'core.fs.request' },
      });
    },
  );
});

describe('a connection', () => {
  // What the host may lack the guest has: the runtime's node, which listens until its input ends.
  const listen = async (onSocket: string): Promise<number> => {
    const code = `require('net').createServer({allowHalfOpen: true}, (s) => {${onSocket}}).listen(0, '127.0.0.1',
      function () { console.log(this.address().port) }); process.stdin.on('end', () => process.exit()).resume()`;
    const id = client.newId();
    client.send(id, 'core.exec.request', { cmd: '/opt/workcell/bin/node', args: ['-e', code] });
    await eventually(() => client.of(id).some(({ type }) => type === 'core.exec.stdout'));
    const said = client.of(id).find(({ type }) => type === 'core.exec.stdout');
    return Number(outcomeOf(said === undefined ? [] : [said]).stdout);
  };
  const connect = (port: number, host = '127.0.0.1', by = client): number => {
    const id = by.newId();
    by.send(id, 'core.tcp.connect', { host, port });
    return id;
  };
  const types = (id: number) => client.of(id).map(({ type }) => type);
  const received = (id: number) =>
    Buffer.concat(
      client
        .of(id)
        .filter(({ type }) => type === 'core.tcp.data')
        .map(({ payload }) => (payload as { data: Buffer }).data),
    );

  it('carries bytes both ways, each way to its own end', async () => {
    const port = await listen("let n = 0; s.on('data', (d) => (n += d.length)).on('end', () => s.end('got ' + n))");
    const id = connect(port, 'localhost');
    for (let part = 0; part < 4; part++) client.send(id, 'core.tcp.data', { data: Buffer.alloc(1_000_000) });
    client.send(id, 'core.tcp.eof');
    expect((await client.untilEnd(id)).at(-1)).toMatchObject({ type: 'core.tcp.closed', payload: {} });
    expect(types(id)).toEqual(['core.tcp.connected', 'core.tcp.data', 'core.tcp.eof', 'core.tcp.closed']);
    expect(String(received(id))).toBe('got 4000000');
  });

  it('brings more than a frame holds', async () => {
    const id = connect(await listen('s.end(Buffer.alloc(9_000_000))'));
    await eventually(() => types(id).includes('core.tcp.eof'));
    expect(received(id).length).toBe(9_000_000);
    client.send(id, 'core.tcp.close');
    expect((await client.untilEnd(id)).at(-1)?.type).toBe('core.tcp.closed');
  });

  it('that nobody accepts has failed', async () => {
    const [failure] = await client.untilEnd(connect(1));
    expect(failure).toMatchObject({
      type: 'core.tcp.failed',
      payload: { error: 'connect 127.0.0.1:1: Connection refused (os error 111)' },
    });
    const id = client.newId();
    client.send(id, 'core.tcp.data', { data: Buffer.from('x') });
    expect((await client.untilEnd(id)).at(-1)?.payload).toEqual({ error: `unknown TCP session: ${id}` });
  });

  it('ends with its client', async () => {
    const port = await listen("s.on('end', () => console.log('gone')).on('error', () => {}).resume()");
    const other = await AgentClient.open(server, sandbox);
    const id = connect(port, '127.0.0.1', other);
    await eventually(() => other.of(id).some(({ type }) => type === 'core.tcp.connected'));
    other.socket.terminate();
    await eventually(() =>
      client.messages.some(({ payload }) => String((payload as { data?: Buffer }).data) === 'gone\n'),
    );
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
    ['an answer', 'core.pong', {}, 'unsupported_message_type'],
    [
      'a message that only the relay may send',
      'core.relay.client.disconnected',
      { id_start: 0, id_end_exclusive: 2 ** 32 },
      'unsupported_message_type',
    ],
    ['a ping that is no map', 'core.ping', 5, 'invalid_payload'],
    ['a command without a name', 'core.exec.request', {}, 'invalid_payload'],
    ['a terminal of many rows', 'core.exec.request', { cmd: 'sh', tty: true, rows: 65536 }, 'invalid_payload'],
    ['a signal that is a text', 'core.exec.signal', { signal: 'KILL' }, 'invalid_payload'],
    ['a port that is none', 'core.tcp.connect', { host: 'localhost', port: 65536 }, 'invalid_payload'],
  ])('refuses %s', async (_what, type, payload, kind) => {
    expect((await client.request(type, payload)).at(-1)).toMatchObject({
      type: 'core.error',
      payload: { kind, offending_type: type },
    });
  });

  const sendFrame = async (change: (frame: RawFrame) => Partial<RawFrame>, type = 'core.ping') => {
    const frame = encodeAnyMessage(client.newId(), type, {});
    client.socket.send(encodeFrame({ ...frame, ...change(frame) }));
    return (await client.untilEnd(frame.id)).at(-1);
  };

  it('refuses flags that a message does not have', async () => {
    expect(await sendFrame(() => ({ flags: 2 }))).toMatchObject({
      type: 'core.error',
      payload: { kind: 'invalid_flags', message: 'invalid flags for core.ping: got 2, expected 0' },
    });
  });

  it('refuses a message that is older than its type', async () => {
    // The version is the byte after the text "v".
    const older = ({ body }: RawFrame) => {
      const bytes = Buffer.from(body);
      bytes[bytes.indexOf('av') + 2] = 5;
      return { body: bytes };
    };
    expect(await sendFrame(older)).toMatchObject({ payload: { kind: 'unsupported_protocol_generation' } });
  });

  it('refuses what is no message', async () => {
    expect(await sendFrame(() => ({ body: Buffer.from('nonsense') }))).toMatchObject({
      type: 'core.error',
      payload: { kind: 'malformed_message' },
    });
  });

  it('refuses to begin a session twice, and goes on with the first', async () => {
    const id = client.newId();
    client.send(id, 'core.exec.request', { cmd: 'cat' });
    client.send(id, 'core.exec.request', { cmd: 'true' });
    await eventually(() => client.of(id).some(({ type }) => type === 'core.error'));
    expect(client.of(id).find(({ type }) => type === 'core.error')?.payload).toMatchObject({ kind: 'invalid_session' });
    client.send(id, 'core.exec.stdin', { data: Buffer.from('on') });
    client.send(id, 'core.exec.stdin', { data: Buffer.alloc(0) });
    await eventually(() => client.of(id).some(({ type }) => type === 'core.exec.exited'));
  });

  it('sets the clock of the guest', async () => {
    client.send(client.newId(), 'core.clock.sync', { unix_time_nanos: 2_000_000_000_500_000_000n });
    await eventually(async () => Number((await shell('date +%s')).stdout) >= 2_000_000_000);
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
