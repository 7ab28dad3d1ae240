import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cell, openCell } from '../support/cell.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { descendantsNamed, eventually } from '../support/processes.ts';

const QEMU = 'qemu-system-x86_64';

let cell: Cell;

beforeAll(async () => {
  cell = await openCell({
    mcpServers: { double: doubleServer({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] }) },
  });
});

afterAll(() => cell[Symbol.asyncDispose]());

const run = (customer: string, code: string, session?: string) =>
  cell.workcell.customer(customer).execute({ code, session });

/** Starts a program that never ends and waits until it runs; gives the process of its virtual machine too. */
async function startEndless(customer: string, session: string) {
  const before = await descendantsNamed(QEMU);
  let started = false;
  const running = cell.workcell.customer(customer).execute({
    code: "console.log('started'); setInterval(() => {}, 1000);",
    session,
    onEvent: ({ type }) => {
      started ||= type === 'stdout';
    },
  });
  running.catch(() => {});
  await eventually(() => started);
  const machine = (await descendantsNamed(QEMU)).find((pid) => !before.includes(pid));
  if (machine === undefined) throw new Error('The program runs in no virtual machine of its own');
  return { running, machine };
}

describe('two customers at once', () => {
  it('have a sandbox each, and see nothing of each other', async () => {
    const look = (own: string, other: string) => `
      const fs = require('node:fs');
      fs.writeFileSync('${own}-only.txt', '${own}');
      fs.writeFileSync('same-name.txt', '${own}');
      await new Promise((resolve) => setTimeout(resolve, 500));
      const find = ['/workspace', '/.workcell/view/mounts', '/tmp', '/root', '-name', '${other}-only*'];
      const found = String(require('node:child_process').spawnSync('find', find).stdout);
      return { same: fs.readFileSync('same-name.txt', 'utf8'), found, files: fs.readdirSync('.') };`;
    const [ann, bob] = await Promise.all([run('ann', look('ann', 'bob')), run('bob', look('bob', 'ann'))]);
    const folders = ['same-name.txt', 'servers', 'sessions', 'skills'];
    expect(ann.value).toEqual({ same: 'ann', found: '', files: ['ann-only.txt', ...folders] });
    expect(bob.value).toEqual({ same: 'bob', found: '', files: ['bob-only.txt', ...folders] });
    expect(ann.sandbox?.id).not.toBe(bob.sandbox?.id);
  });
});

describe('programs of one customer at once', () => {
  it('share a sandbox and mix nothing up', async () => {
    const program = (n: number) => `
      import { echo } from 'servers/double';
      for (let i = 0; i < 5; i++) {
        console.log('out ${n}.' + i);
        console.error('err ${n}.' + i);
        const { arguments: answer } = await echo({ n: ${n}, i }) as any;
        if (answer.n !== ${n} || answer.i !== i) throw new Error('got ' + JSON.stringify(answer));
      }
      return ${n};`;
    const results = await Promise.all([1, 2, 3].map((n) => run('ann', program(n))));
    for (const [index, result] of results.entries()) {
      const lines = (stream: string) => [0, 1, 2, 3, 4].map((i) => `${stream} ${index + 1}.${i}\n`).join('');
      expect(result).toMatchObject({ status: 'completed', error: null, value: index + 1 });
      expect(result).toMatchObject({ stdout: lines('out'), stderr: lines('err') });
      expect(result.calls.map(({ seq, ok }) => ({ seq, ok }))).toEqual(
        [1, 2, 3, 4, 5].map((seq) => ({ seq, ok: true })),
      );
    }
    expect(new Set(results.map(({ sandbox }) => sandbox?.id)).size).toBe(1);
    expect(new Set(results.map(({ executionId }) => executionId)).size).toBe(3);
  });

  it('share one sandbox also when they are the first', async () => {
    const [first, second] = await Promise.all([run('new', 'return 1'), run('new', 'return 2')]);
    expect([first.value, second.value]).toEqual([1, 2]);
    expect(first.sandbox?.id).toBe(second.sandbox?.id);
    expect((await run('new', 'return 3')).sandbox).toMatchObject({ id: first.sandbox?.id, boot: 'warm' });
  });
});

describe('a virtual machine that is killed during a run', () => {
  it('fails that run at once, keeps its log, and is replaced for the next', async () => {
    const bystander = run('bob', 'await new Promise((resolve) => setTimeout(resolve, 3000)); return 1;');
    const { running, machine } = await startEndless('cat', 'lost');
    const killedAt = performance.now();
    process.kill(machine, 'SIGKILL');
    await expect(running).rejects.toMatchObject({ code: 'sandbox_lost', retryable: true });
    // Nobody has waited for the time of the program to be up, which is two minutes.
    expect(performance.now() - killedAt).toBeLessThan(20_000);

    expect((await cell.workcell.customer('cat').session('lost')).tasks).toMatchObject([
      { status: 'interrupted', output: 'started\n', error: expect.stringContaining('sandbox') },
    ]);
    expect(await run('cat', 'return 2', 'lost')).toMatchObject({ status: 'completed', sandbox: { boot: 'restored' } });
    expect((await cell.workcell.customer('cat').session('lost')).tasks.map(({ status }) => status)).toEqual([
      'interrupted',
      'completed',
    ]);
    expect(await bystander).toMatchObject({ status: 'completed', value: 1 });
  });

  it('between two runs is replaced without an error', async () => {
    const before = await descendantsNamed(QEMU);
    const first = await run('dan', 'return 1');
    const [machine = 0] = (await descendantsNamed(QEMU)).filter((pid) => !before.includes(pid));
    process.kill(machine, 'SIGKILL');
    await eventually(async () => !(await descendantsNamed(QEMU)).includes(machine));
    const second = await run('dan', 'return 2');
    expect(second).toMatchObject({ status: 'completed', value: 2, sandbox: { boot: 'restored' } });
    expect(second.sandbox?.id).not.toBe(first.sandbox?.id);
  });
});

describe('a file server that is killed during a run', () => {
  it('ends the sandbox too', async () => {
    const before = await descendantsNamed('virtiofsd');
    const { running } = await startEndless('eve', 'lost');
    const servers = (await descendantsNamed('virtiofsd')).filter((pid) => !before.includes(pid));
    expect(servers.length).toBeGreaterThan(0);
    for (const pid of servers) process.kill(pid, 'SIGKILL');
    await expect(running).rejects.toMatchObject({ code: 'sandbox_lost' });
    expect(await run('eve', 'return 2')).toMatchObject({ status: 'completed', value: 2 });
  });
});
