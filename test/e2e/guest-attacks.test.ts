// What root in a guest, or a process of the host that dies at the wrong moment, can do to the server and to other guests.
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Page, SandboxResponse } from '../../src/protocol/rest.ts';
import { Deadline, poll } from '../../src/util/deadline.ts';
import { AgentClient } from '../support/agent-client.ts';
import { guestFolders, type HostileGuest, openHostileGuest } from '../support/hostile-guest.ts';
import { descendants, descendantsNamed, eventually, isRunning } from '../support/processes.ts';
import { openServer, sandboxSpec, type TestServer } from '../support/sandbox-server.ts';
import { openStateServer } from '../support/state-server.ts';
import { tempFolder } from '../support/temp-folder.ts';

const QEMU = 'qemu-system-x86_64';
/** Of a guest that asks for no size. */
const MEMORY_BYTES = 512 * 1024 * 1024;

let server: TestServer;
/** Has to live through all of it. */
let guest: HostileGuest;
let machine: number;
let fileServers: readonly number[];

const mounts = () => [{ type: 'bind', host: join(server.folder, 'allowed'), guest: '/workspace' }];

beforeAll(async () => {
  server = await openServer();
  await mkdir(join(server.folder, 'allowed'));
  guest = await openHostileGuest(server, 'witness');
  [machine = 0] = await descendantsNamed(QEMU);
  fileServers = await descendantsNamed('virtiofsd');
});

afterAll(async () => {
  await guest?.[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const describeSandbox = async (id: string) => (await server.call('GET', `/v1/sandboxes/${id}`)).body as SandboxResponse;

describe('root in a guest that fills what it has', () => {
  it('fills its own memory, and the host gives it no more', async () => {
    await using hungry = await openHostileGuest(server, 'hungry', { mounts: mounts() });
    hungry.start(
      'sh',
      '-c',
      'for at in /tmp /dev/shm /usr /root; do dd if=/dev/zero of=$at/filler bs=1M; done; echo filled',
    );
    const held = async () =>
      Promise.all((await guestFolders()).map(async (folder) => (await stat(join(folder, 'memory'))).blocks * 512));
    using deadline = new Deadline('Waiting for the memory to be full', 150_000);
    await poll(deadline, async () => {
      if ((await describeSandbox(hungry.id)).status === 'failed') return true;
      return (await held()).some((bytes) => bytes > 0.85 * MEMORY_BYTES) ? true : undefined;
    });
    for (const bytes of await held()) expect(bytes).toBeLessThanOrEqual(MEMORY_BYTES);
    expect((await guest.shell('echo alive')).text).toBe('alive\n');
    expect((await server.call('DELETE', `/v1/sandboxes/${hungry.id}`)).status).toBe(200);
  });
});

describe('root in a guest that attacks the stream of its agent', () => {
  const FREEZE = `
os.makedirs('/sys/fs/cgroup/frozen', exist_ok=True)
port = port_of_agent()
open('/sys/fs/cgroup/frozen/cgroup.procs', 'w').write(str(agent()[0]))
open('/sys/fs/cgroup/frozen/cgroup.freeze', 'w').write('1')
`;

  it.each([
    ['with bytes that are no frames', "os.write(port_of_agent(), b'\\xff' * 65536)"],
    ['with a frame longer than any may be', "os.write(port_of_agent(), b'\\x7f\\xff\\xff\\xff' + b'x' * 65536)"],
    ['while the agent itself is frozen', `${FREEZE}\nos.write(port, b'\\xff' * 65536)`],
  ])('%s, only its own sandbox fails', async (_what, program) => {
    await using attacker = await openHostileGuest(server, 'attacker');
    attacker.startPython(program);
    await failsWith(attacker.id, /The sandbox ended by itself/);
    await nothingIsLeftOf(attacker.id);
  });

  it('floods it with frames of nobody, and holds up nobody else', async () => {
    await using flooder = await openHostileGuest(server, 'flooder', { mounts: mounts() });
    flooder.startPython(`
port = port_of_agent()
frames = (b'\\0\\0\\0\\x06' + b'\\x7f\\0\\0\\x01' + b'\\0' + b'\\xa0') * 8192
while True:
    os.write(port, frames)
    open('/workspace/flooding', 'w').close()`);
    await eventually(() => stat(join(server.folder, 'allowed/flooding')).catch(() => false));
    for (const _turn of [1, 2, 3]) {
      const began = performance.now();
      expect((await guest.shell('echo alive')).text).toBe('alive\n');
      expect((await server.call('GET', '/v1/sandboxes')).status).toBe(200);
      expect(performance.now() - began).toBeLessThan(30_000);
    }
    await nothingIsLeftOf(flooder.id);
  });

  it('opens no port but has to take the agent’s, and no port beside it leads anywhere', async () => {
    expect(
      await guest.python(`
ports = sorted(name for name in os.listdir('/dev') if name.startswith('vport'))
names = {name: open('/sys/class/virtio-ports/' + name + '/name').read().strip() for name in ports}
def answers(name):
    try:
        port = os.open('/dev/' + name, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return errno.errorcode[error.errno]
    try:
        os.write(port, b'x' * 4096)
    except OSError:
        pass
    time.sleep(0.2)
    try:
        return os.read(port, 4096).decode('latin1') or 'nothing'
    except BlockingIOError:
        return 'nothing'
print(json.dumps({names[name]: answers(name) for name in ports}))`),
    ).toEqual(
      expect.toSatisfy((found: Record<string, string>) =>
        Object.entries(found).every(([name, answer]) => answer === (name === 'agent.0' ? 'EBUSY' : 'nothing')),
      ),
    );
    expect((await guest.shell('echo alive')).text).toBe('alive\n');
  });
});

describe('root in a guest that ends it', () => {
  it.each([
    ['kills the agent', 'for pid in $(pgrep -f agentd); do kill -9 $pid; done'],
    ['makes the kernel panic', 'echo c > /proc/sysrq-trigger'],
    ['reboots', 'echo b > /proc/sysrq-trigger'],
    ['powers off', 'echo o > /proc/sysrq-trigger; sleep 100'],
    ['asks for a reboot', '/opt/workcell/bin/busybox reboot -f'],
  ])('%s: the sandbox fails with a reason, and nothing is left', async (_what, command) => {
    await using gone = await openHostileGuest(server, 'gone', { mounts: mounts() });
    gone.start('sh', '-c', command);
    await failsWith(gone.id, /The sandbox ended by itself: the virtual machine ended: its kernel panicked, or/);
    await nothingIsLeftOf(gone.id);
  });

  it('halts it: whoever waits is told by deadlines, and the sandbox can be stopped', async () => {
    await using halted = await openHostileGuest(server, 'halted');
    const machines = await descendantsNamed(QEMU);
    halted.start('/opt/workcell/bin/busybox', 'halt', '-f');
    expect(machines).toHaveLength(2);
    expect((await server.call('POST', `/v1/sandboxes/${halted.id}/stop`)).status).toBe(200);
    await nothingIsLeftOf(halted.id);
  });
});

describe('a virtual machine that does not move', () => {
  it('holds up no call of the server beyond its deadline, and can be ended', async () => {
    const { id } = await server.start('stopped', { mounts: mounts() });
    const pids = [...(await descendantsNamed(QEMU)), ...(await descendantsNamed('virtiofsd'))];
    const own = pids.filter((pid) => pid !== machine && !fileServers.includes(pid));
    for (const pid of own) process.kill(pid, 'SIGSTOP');
    const call = async (method: string, path: string) => {
      const began = performance.now();
      const { status } = await server.call(method, path);
      // Less than what the server gives a guest to end.
      expect(performance.now() - began, path).toBeLessThan(12_000);
      return status;
    };
    for (const path of ['', `/${id}`, '/by-name/stopped']) expect(await call('GET', `/v1/sandboxes${path}`)).toBe(200);
    expect(await call('GET', '/v1/quotas')).toBe(200);
    expect(await call('GET', '/v1/events')).toBe(200);
    expect((await guest.shell('echo alive')).text).toBe('alive\n');
    expect(await call('DELETE', `/v1/sandboxes/${id}`)).toBe(200);
    await nothingIsLeftOf(id);
  });
});

describe('many sandboxes at once', () => {
  it('one deleted and made again under its name at once is another, and leaves nothing of the first', async () => {
    for (const turn of [1, 2, 3]) {
      await using again = await openHostileGuest(server, 'phoenix', { mounts: mounts() });
      expect((await again.shell(`echo ${turn} > /tmp/turn; ls /tmp`)).text).toBe('turn\n');
      expect((await server.call('DELETE', `/v1/sandboxes/${again.id}`)).status).toBe(200);
    }
    await onlyTheWitnessIsLeft();
  });

  it('twelve created at once, half of them deleted while they start, leave no orphan', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `crowd-${index}`);
    const settled = await Promise.all(
      names.map(async (name, index) => {
        const { body } = await server.call('POST', '/v1/sandboxes?start=true', {
          body: sandboxSpec(name),
        });
        const { id } = body as SandboxResponse;
        if (index % 2 === 0) expect((await server.call('DELETE', `/v1/sandboxes/${id}`)).status).toBe(200);
        return { id, isKept: index % 2 === 1 };
      }),
    );
    const kept = settled.filter(({ isKept }) => isKept).map(({ id }) => id);
    using deadline = new Deadline('Waiting for the crowd', 240_000);
    await poll(deadline, async () => {
      const states = await Promise.all(kept.map(describeSandbox));
      return states.some(({ status }) => status === 'starting') ? undefined : true;
    });
    for (const id of kept)
      expect(await describeSandbox(id)).toMatchObject({ status: 'running', last_failure_message: null });
    expect(await descendantsNamed(QEMU)).toHaveLength(1 + kept.length);
    await Promise.all(kept.map((id) => server.call('DELETE', `/v1/sandboxes/${id}`)));
    await onlyTheWitnessIsLeft();
  }, 300_000);
});

describe('a client that stops reading', () => {
  it('holds up no other sandbox, and its own goes on as soon as it is gone', async () => {
    await using flooded = await openHostileGuest(server, 'flooded', { mounts: mounts() });
    const stalled = await AgentClient.open(server, flooded.id);
    onTestFinished(() => stalled.socket.terminate());
    stalled.socket.pause();
    stalled.send(stalled.newId(), 'core.exec.request', {
      cmd: 'sh',
      args: ['-c', 'echo > /workspace/started; cat /dev/zero'],
    });
    await eventually(() => stat(join(server.folder, 'allowed/started')).catch(() => false));
    expect((await guest.shell('echo alive')).text).toBe('alive\n');
    expect((await describeSandbox(flooded.id)).status).toBe('running');
    stalled.socket.terminate();
    expect((await flooded.shell('echo alive')).text).toBe('alive\n');
  });
});

describe('a server that dies while it clears away', () => {
  it('leaves nothing that the next one does not find', async () => {
    await using folder = await tempFolder();
    const first = await openStateServer(folder.path);
    onTestFinished(() => first.kill());
    for (const name of ['one', 'two'])
      expect(await first.start(name)).toMatchObject({ status: 'running', last_failure_message: null });
    const guests = await descendants(first.pid);
    // They may outlive their server.
    onTestFinished(() => guests.forEach(kill));
    expect(guests.length).toBeGreaterThanOrEqual(4);
    for (const name of ['one', 'two']) first.call('DELETE', `/by-name/${name}`).catch(() => {});
    await eventually(async () => (await Promise.all(guests.map(isRunning))).includes(false));
    await first.kill();

    await using second = await openStateServer(folder.path);
    const list = async () => ((await second.call('GET', '')) as Page<SandboxResponse>).data;
    for (const { id, status } of await list()) {
      expect(['running', 'failed', 'stopped']).toContain(status);
      await second.call('DELETE', `/${id}`);
    }
    expect(await list()).toEqual([]);
    await eventually(async () => !(await Promise.all(guests.map(isRunning))).includes(true));
    await second.start('one');
    await second.call('DELETE', '/by-name/one');
    expect(await guestFolders(first.pid)).toEqual([]);
    expect(await guestFolders(second.pid)).toEqual([]);
  });
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended, as it should have.
  }
}

async function failsWith(id: string, reason: RegExp): Promise<void> {
  const failed = await eventually(async () => {
    const sandbox = await describeSandbox(id);
    return sandbox.status === 'failed' ? sandbox : false;
  });
  expect(failed.last_failure_message).toMatch(reason);
  expect((await guest.shell('echo alive')).text).toBe('alive\n');
}

/** Deletes it; afterwards only the witness is there. */
async function nothingIsLeftOf(id: string): Promise<void> {
  await server.call('DELETE', `/v1/sandboxes/${id}`);
  expect((await server.call('GET', `/v1/sandboxes/${id}`)).status).toBe(404);
  await onlyTheWitnessIsLeft();
}

async function onlyTheWitnessIsLeft(): Promise<void> {
  await eventually(async () => (await descendantsNamed(QEMU)).length === 1);
  await eventually(async () => (await descendantsNamed('virtiofsd')).length === fileServers.length);
  await eventually(async () => (await guestFolders()).length === 1);
}
