import { access, chmod, stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usableControllers } from '../../src/sandbox/drivers/bubblewrap/cgroup.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { doubleServer } from '../support/mcp-servers.ts';

const CALLS = 200;
/** Elsewhere an allocation fails, or the whole guest is ended. */
const countsMemory = (await usableControllers()).includes('memory');

let cell: Cell;

beforeAll(async () => {
  cell = await openCell({
    mcpServers: { double: doubleServer({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] }) },
    sandbox: { driver: 'bubblewrap', isolation: 'process', cpus: 1 },
    limits: { toolCalls: CALLS },
  });
});

afterAll(() => cell?.[Symbol.asyncDispose]());

async function shell(command: string): Promise<string> {
  const code = `return String(require('node:child_process').spawnSync('sh', ['-c', ${JSON.stringify(`{ ${command}; } 2>&1`)}]).stdout)`;
  const { status, value, error } = await cell.workcell.customer('ann').execute({ code });
  expect({ status, error }).toEqual({ status: 'completed', error: null });
  return String(value);
}

/** Opens for writing, and writes nothing: a hole in the wall shall not be used by its own test. */
const OPENS = (path: string) => `python3 -c "import os; os.open('${path}', os.O_WRONLY)" && echo opened`;

describe('a guest that shares the kernel', () => {
  it('runs programs with their tools and workspace, and says how it is isolated', async () => {
    const result = await cell.workcell.customer('ann').execute({
      task: 'Calculate 5 + 3',
      code: "require('node:fs').writeFileSync('kept', 'x'); return process.cwd()",
    });
    expect(result).toMatchObject({
      status: 'completed',
      value: '/workspace',
      sandbox: { driver: 'bubblewrap', isolation: 'process' },
    });
    expect((await stat(cell.hostPath('ann', 'kept'))).size).toBe(1);
  });

  it.skipIf(!countsMemory).each([
    ['typescript', 'const a = []; while (true) a.push(Buffer.alloc(8 << 20, 1));'],
    ['python', 'a = []\nwhile True: a.append(bytearray(8 << 20))'],
  ] as const)('that has used up its memory tells so, and works on: %s', async (language, code) => {
    const customer = cell.workcell.customer('ann');
    expect(await customer.execute({ code, language })).toMatchObject({ status: 'limit_exceeded', limit: 'memory' });
    expect(await customer.execute({ code: 'return process.kill(process.pid, "SIGKILL")' })).toMatchObject({
      status: 'failed',
      limit: null,
    });
    expect(await customer.execute({ code: 'return 42' })).toMatchObject({ value: 42 });
  });

  it('makes 200 tool calls at once, and each gets its own answer', async () => {
    const code = `
      import { echo } from 'servers/double';
      const answers = await Promise.all(Array.from({ length: ${CALLS} }, (_, n) => echo({ n, pad: 'x'.repeat(n * 100) })));
      return answers.map((answer) => answer.arguments.n);`;
    const result = await cell.workcell.customer('ann').execute({ code });
    expect(result.value).toEqual(Array.from({ length: CALLS }, (_, n) => n));
    expect(result.calls.filter(({ ok }) => ok)).toHaveLength(CALLS);
  });

  it.each([
    ...['/proc/sys/kernel/core_pattern', '/proc/sys/vm/drop_caches', '/proc/irq/default_smp_affinity'],
    ...(countsMemory ? ['/sys/fs/cgroup/memory.events'] : []),
  ])('cannot open the setting %s of the host to write', async (path) => {
    expect(await shell(OPENS(path))).toMatch(/Read-only file system/);
  });

  it('writes to the devices that it has, and cannot change their modes for the host', async () => {
    const { mode } = await stat('/dev/null');
    try {
      expect(await shell('echo x > /dev/null && echo written; chmod 600 /dev/null || echo refused')).toMatch(
        /^written\n[\s\S]*refused\n$/,
      );
      expect((await stat('/dev/null')).mode).toBe(mode);
    } finally {
      if (process.getuid?.() === 0) await chmod('/dev/null', mode & 0o777);
    }
  });

  it('has no capability, gets none, and is behind the filter', async () => {
    const status = await shell('cat /proc/self/status');
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
      expect(status).toMatch(new RegExp(`^Cap${set}:\\t0{16}$`, 'm'));
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
  });

  it.each([
    ['unshare --user true', 'Operation not permitted'],
    ['unshare --mount true', 'Operation not permitted'],
    ['mount -t tmpfs none /tmp', 'permission denied|must be superuser'],
    ['chroot / true', 'Operation not permitted'],
    ['python3 -c "import socket; socket.socket(40, socket.SOCK_STREAM)"', 'Address family not supported'],
    [
      'python3 -c "import ctypes; l = ctypes.CDLL(None, use_errno=True); l.ptrace(0, 0, 0, 0); print(ctypes.get_errno())"',
      '^1$',
    ],
  ])('is refused: %s', async (command, reason) => {
    expect(await shell(command)).toMatch(new RegExp(reason, 'im'));
  });

  it('sees no process, no path and no descriptor of the host', async () => {
    expect(await shell('cat /proc/[0-9]*/cmdline | tr "\\0" " "')).not.toContain(cell.folder);
    const targets = await shell('for fd in /proc/self/fd/*; do readlink $fd; done');
    expect(
      targets.split('\n').filter((line) => !/^(socket|pipe):|^\/proc\/\d+\/fd$|^$|^\/dev\/null$/.test(line)),
    ).toEqual([]);
    expect(await shell('ls /proc | grep -cE "^[0-9]+$"').then(Number)).toBeLessThan(12);
  });

  it('writes to a root of its own, and to nothing of the host beside its mounts', async () => {
    expect(await shell('touch /usr/x /opt/workcell/x; ls /usr/x /opt/workcell/x')).toMatch(
      /(Read-only file system[\s\S]*){2}/,
    );
    expect(await shell('echo mine > /made-by-a-guest; cat /made-by-a-guest')).toContain('mine');
    await expect(access('/made-by-a-guest')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('bubblewrap', () => {
  it('is used only where the configuration says that processes are isolation enough', async () => {
    await expect(openCell({ sandbox: { driver: 'bubblewrap' } })).rejects.toMatchObject({
      code: 'invalid_config',
      message: expect.stringContaining('sandbox.isolation'),
    });
  });
});
