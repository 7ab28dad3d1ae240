import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorkcell } from '../../src/workcell/workcell.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { cli } from '../support/cli.ts';
import { eventually } from '../support/processes.ts';

let cell: Cell;
beforeAll(async () => {
  cell = await openCell({
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
    limits: { timeout: '20s' },
    server: { maxExecutions: 2 },
    quotas: {
      organisations: { acme: { executions: 2 } },
      customers: {
        'acme.minute': { executions: 8, executionsPerMinute: 3 },
        'acme.cpu': { cpuSecondsPerDay: 20 },
        'acme.disk': { disk: '2M' },
      },
    },
  });
});
afterAll(() => cell?.[Symbol.asyncDispose]());

const customer = (id: string) => cell.workcell.customer(id);
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'ran',
    (error: { code: string }) => error.code,
  );
const WAITS =
  'while (!require("node:fs").existsSync("go")) await new Promise((r) => setTimeout(r, 10)); return 1;'.replace(
    'require("node:fs")',
    '(await import("node:fs"))',
  );

describe('an organisation’s customer', () => {
  it('runs programs in a workspace of its own, whatever other organisations call theirs', async () => {
    const code = `import { existsSync, writeFileSync } from 'node:fs';
      const before = existsSync('mine'); writeFileSync('mine', 'x'); return before;`;
    for (const id of ['acme.ann', 'box.ann', 'ann'])
      expect(await customer(id).execute({ code })).toMatchObject({ status: 'completed', value: false, customer: id });
    expect(await customer('acme.ann').execute({ code })).toMatchObject({ value: true });
    const [session] = await customer('acme.ann').listSessions();
    expect(await customer('acme.ann').session(session ?? '')).toMatchObject({ customer_uid: 'acme.ann' });
  });

  it('has as many executions at once as its quota says, and room again when one ends', async () => {
    const ann = customer('acme.ann');
    const running = [ann.execute({ code: WAITS }), ann.execute({ code: WAITS })];
    await eventually(async () => (await ann.usage()).executions.used === 2);
    await expect(ann.execute({ code: 'return 1' })).rejects.toMatchObject({
      code: 'quota_exceeded',
      details: { quota: 'executions', limit: 2, used: 2 },
    });
    await ann.files.write('go', '');
    expect(await Promise.all(running)).toMatchObject([{ value: 1 }, { value: 1 }]);
    expect(await ann.execute({ code: 'return 2' })).toMatchObject({ value: 2 });
    await ann.files.delete('go');
    // What was refused is in no log.
    for (const id of await ann.listSessions())
      for (const { status } of (await ann.session(id)).tasks) expect(status).toBe('completed');
  });

  it('waits for its turn while others have all of the server, and is not refused', async () => {
    const [bob, ann] = [customer('bob'), customer('acme.ann')];
    const running = [1, 2, 3].map(() => bob.execute({ code: WAITS }));
    await eventually(async () => (await bob.usage()).executions.used === 3);
    let hasRun = false;
    const waiting = ann.execute({ code: 'return 3' }).finally(() => {
      hasRun = true;
    });
    await eventually(async () => (await ann.usage()).executions.used === 1);
    expect(hasRun).toBe(false);
    await bob.files.write('go', '');
    expect(await waiting).toMatchObject({ value: 3 });
    await Promise.all(running);
  });

  it('begins as many executions a minute as its quota says', async () => {
    const minute = customer('acme.minute');
    const attempts = [1, 2, 3, 4].map(() => codeOf(minute.execute({ code: 'return 1' })));
    expect((await Promise.all(attempts)).sort()).toEqual(['quota_exceeded', 'ran', 'ran', 'ran']);
  });

  it('has the CPU time of a day left after a restart that it had before', async () => {
    const cpu = customer('acme.cpu');
    expect(await codeOf(cpu.execute({ code: 'return 1', timeoutMs: 20_001 }))).toBe('invalid_argument');
    const code = 'const end = Date.now() + 300; while (Date.now() < end); return 1;';
    expect(await codeOf(cpu.execute({ code }))).toBe('ran');
    const { cpuSecondsPerDay: before } = await cpu.usage();
    expect(before.used).toBeGreaterThanOrEqual(0.3);
    // The whole timeout is not free any more.
    expect(await codeOf(cpu.execute({ code: 'return 1' }))).toBe('quota_exceeded');
    expect(await codeOf(cpu.execute({ code: 'return 1', timeoutMs: 5_000 }))).toBe('ran');
    const { cpuSecondsPerDay: after } = await cpu.usage();
    await using again = await createWorkcell({ config: cell.configPath });
    expect((await again.customer('acme.cpu').usage()).cpuSecondsPerDay).toEqual(after);
    const usage = (...args: string[]) => cli(['customers', 'usage', ...args], { cwd: cell.folder });
    const { diskBytes, ...told } = JSON.parse((await usage('acme.cpu', '--json')).stdout) as Record<string, unknown>;
    expect(told).toEqual({ customer: 'acme.cpu', cpuSecondsPerDay: after });
    expect(diskBytes).toEqual({ used: expect.any(Number), limit: null, left: null });
    expect((await usage('acme.cpu')).stdout).toMatch(/CPU seconds today +\d+\.\d +20\.0\nfiles +\S+.* +no limit/);
    expect(await usage('acme.nobody')).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('acme.nobody'),
    });
  });

  it('runs nothing while its files are more than its quota, until it deletes some', async () => {
    const disk = customer('acme.disk');
    const write = `import { writeFileSync } from 'node:fs'; writeFileSync('big', Buffer.alloc(3_000_000, 1));`;
    expect(await codeOf(disk.execute({ code: write }))).toBe('ran');
    await eventually(async () => (await codeOf(disk.execute({ code: 'return 1' }))) === 'quota_exceeded');
    expect((await disk.usage()).diskBytes).toMatchObject({ limit: 2 * 1024 * 1024, left: 0 });
    expect(await codeOf(disk.files.write('more', 'x'))).toBe('quota_exceeded');
    await disk.files.delete('big');
    await eventually(async () => (await codeOf(disk.execute({ code: 'return 1' }))) === 'ran');
    await disk.files.write('more', 'x');
  });
});
