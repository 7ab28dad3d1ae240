import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseCustomerId } from '../../../src/core/ids.ts';
import type { Quotas } from '../../../src/core/limits.ts';
import { CpuLedger } from '../../../src/workcell/cpu-ledger.ts';
import { CustomerQuota } from '../../../src/workcell/customer-quota.ts';
import { DiskMeter } from '../../../src/workcell/disk-meter.ts';
import { type Workspace, WorkspaceStore } from '../../../src/workspaces/workspace-store.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const DAY_MS = 24 * 60 * 60_000;
const MODULE = new URL('../../../src/workcell/cpu-ledger.ts', import.meta.url).href;

let folder: TempFolder;
let workspace: Workspace;
/** Of the day. */
let date: number;
/** Since some time or other. */
let now: number;

beforeEach(async () => {
  folder = await tempFolder();
  workspace = await new WorkspaceStore({ root: folder.path }).open(parseCustomerId('acme.ann'));
  date = Date.UTC(2026, 10, 21, 23);
  now = 0;
});
afterEach(() => folder[Symbol.asyncDispose]());

async function openQuota(limits: Quotas, cpus = 1): Promise<CustomerQuota> {
  const cpu = new CpuLedger(workspace.cpuPath, () => date);
  await cpu.load();
  return new CustomerQuota({ limits, cpus, cpu, disk: new DiskMeter(workspace, () => now), now: () => now });
}

const refusal = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return error as { code: string; details: Record<string, unknown> };
  }
  return undefined;
};

/** `count` at the same time, each in a turn of its own; how many were let in. */
async function attempt(count: number, quota: CustomerQuota, timeoutMs = 1000): Promise<number> {
  const attempts = Array.from({ length: count }, async (_, n) => {
    for (let turn = 0; turn < n % 7; turn++) await null;
    return quota.reserve(timeoutMs);
  });
  return (await Promise.allSettled(attempts)).filter(({ status }) => status === 'fulfilled').length;
}

describe('of 1,000 attempts at the same time', () => {
  it.each([
    ['executions at once', { executions: 999 }, 999],
    ['executions at once', { executions: 1000 }, 1000],
    ['executions at once', { executions: 1001 }, 1000],
    ['executions at once', { executions: 3 }, 3],
    ['executions at once', { executions: 0 }, 0],
    ['executions a minute', { executionsPerMinute: 999 }, 999],
    ['executions a minute', { executionsPerMinute: 1000 }, 1000],
    ['executions a minute', { executionsPerMinute: 1001 }, 1000],
    ['CPU seconds a day', { cpuSecondsPerDay: 1999 }, 999],
    ['CPU seconds a day', { cpuSecondsPerDay: 2000 }, 1000],
    ['CPU seconds a day', { cpuSecondsPerDay: 2001 }, 1000],
    ['nothing', {}, 1000],
  ])('as many get in as the limit on %s says: %j', async (_what, limits, expected) => {
    expect(await attempt(1000, await openQuota(limits, 2))).toBe(expected);
  });
});

describe('an execution', () => {
  it('makes room for the next when it is released, once', async () => {
    const quota = await openQuota({ executions: 2 });
    const [first] = [quota.reserve(1000), quota.reserve(1000)];
    expect(refusal(() => quota.reserve(1000))).toMatchObject({
      code: 'quota_exceeded',
      details: { quota: 'executions', limit: 2, used: 2, retryAfterMs: 1000 },
    });
    await first.release();
    await first.release();
    first.cancel();
    quota.reserve(1000);
    expect(refusal(() => quota.reserve(1000))).toBeDefined();
  });

  it('that is refused takes nothing of any quota', async () => {
    const quota = await openQuota({ executions: 1, executionsPerMinute: 2, cpuSecondsPerDay: 10 });
    const held = quota.reserve(1000);
    for (let n = 0; n < 10; n++) refusal(() => quota.reserve(1000));
    await held.release();
    expect(await quota.usage()).toMatchObject({ executionsPerMinute: { used: 1, left: 1 } });
    quota.reserve(10_000).cancel();
    expect(await quota.usage()).toMatchObject({
      executions: { used: 0 },
      executionsPerMinute: { used: 1 },
      cpuSecondsPerDay: { used: 0, limit: 10, left: 10 },
    });
  });

  it('of which there were too many in a minute may be tried again at the time that the refusal tells', async () => {
    const quota = await openQuota({ executionsPerMinute: 60 });
    expect(await attempt(61, quota)).toBe(60);
    const { retryAfterMs } = refusal(() => quota.reserve(1))?.details ?? {};
    expect(retryAfterMs).toBe(1000);
    now += 999;
    expect(refusal(() => quota.reserve(1))).toBeDefined();
    now += 1;
    quota.reserve(1);
  });

  it('keeps its time and CPUs free until its end, and then what it has run', async () => {
    const quota = await openQuota({ cpuSecondsPerDay: 100 }, 2);
    const run = quota.reserve(30_000);
    const running = run.runs();
    expect(await quota.usage()).toMatchObject({ cpuSecondsPerDay: { used: 60, left: 40 } });
    // As soon as the first has ended there may be room; for more than a day has there never is.
    expect(refusal(() => quota.reserve(20_001))?.details).toMatchObject({ used: 60, limit: 100, retryAfterMs: 1000 });
    expect(refusal(() => quota.reserve(50_001))?.details).not.toHaveProperty('retryAfterMs');
    now += 10_000;
    await running.end();
    await run.release();
    expect(await quota.usage()).toMatchObject({ cpuSecondsPerDay: { used: 20, left: 80 } });
    expect(refusal(() => quota.reserve(45_000))?.details).toMatchObject({ used: 20, retryAfterMs: 60 * 60_000 });
    date += 60 * 60_000;
    quota.reserve(50_000);
  });

  it('shares the time with those that run with it', async () => {
    const quota = await openQuota({ cpuSecondsPerDay: 100 });
    const runs = [quota.reserve(30_000), quota.reserve(30_000)];
    const running = runs.map((run) => run.runs());
    now += 10_000;
    for (const each of running) await each.end();
    for (const run of runs) await run.release();
    expect(await quota.usage()).toMatchObject({ cpuSecondsPerDay: { used: 10 } });
  });

  it('that never ran costs no time', async () => {
    const quota = await openQuota({ cpuSecondsPerDay: 30 });
    await quota.reserve(30_000).release();
    quota.reserve(30_000);
    await expect(readFile(workspace.cpuPath)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('the files', () => {
  it.each([
    [-1, 'refused'],
    [0, 'fits'],
    [1, 'fits'],
  ])('are as many bytes as the limit: %i more than there are', async (more, expected) => {
    await writeFile(join(workspace.filesPath, 'a'), Buffer.alloc(64 * 1024, 1));
    const meter = new DiskMeter(workspace);
    await meter.refresh();
    const quota = await openQuota({ diskBytes: meter.bytes + more });
    await quota.refresh();
    const refused = refusal(() => quota.reserve(1000));
    if (expected === 'fits') expect(refused).toBeUndefined();
    else expect(refused).toMatchObject({ code: 'quota_exceeded', details: { quota: 'diskBytes', used: meter.bytes } });
  });

  it('that are sent at the same time fit together, or not at all', async () => {
    const quota = await openQuota({ diskBytes: 1_000_000 });
    await quota.refresh();
    const sent = await Promise.allSettled(Array.from({ length: 1000 }, () => quota.admitBytes(2000)));
    expect(sent.filter(({ status }) => status === 'fulfilled').length).toBe(500);
    // Nothing of it was written, as the next look shows.
    now += 1_000_000;
    await quota.admitBytes(1_000_000);
    await expect(quota.admitBytes(1)).rejects.toMatchObject({ code: 'quota_exceeded' });
  });
});

describe('the CPU time of a day', () => {
  it('is there again after a restart, until the day is over', async () => {
    await new CpuLedger(workspace.cpuPath, () => date).add(1500);
    const again = new CpuLedger(workspace.cpuPath, () => date);
    await again.load();
    expect(again.usedMs).toBe(1500);
    date += DAY_MS;
    expect(again.usedMs).toBe(0);
    await again.add(7);
    expect(JSON.parse(await readFile(workspace.cpuPath, 'utf8'))).toEqual({ v: 1, day: '2026-11-22', cpuMs: 7 });
  });

  it('is that of all processes together', async () => {
    const ledgers = Array.from({ length: 3 }, () => new CpuLedger(workspace.cpuPath, () => date));
    await Promise.all(ledgers.flatMap((ledger) => Array.from({ length: 50 }, () => ledger.add(1))));
    const again = new CpuLedger(workspace.cpuPath, () => date);
    await again.load();
    expect(again.usedMs).toBe(150);
  });

  it('that was told to be counted is counted, whenever the process is killed', async () => {
    const script = `
      const { CpuLedger } = await import(${JSON.stringify(MODULE)});
      const ledger = new CpuLedger(${JSON.stringify(workspace.cpuPath)});
      await ledger.load();
      for (let n = 1; ; n++) { await ledger.add(1000); process.stdout.write(n + '\\n'); }`;
    let told = 0;
    for (let round = 1; round <= 5; round++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let counted = 0;
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        counted = Number(text.trim().split('\n').at(-1));
        if (counted >= round * 3) child.kill('SIGKILL');
      });
      await once(child, 'close');
      told += counted;
      const ledger = new CpuLedger(workspace.cpuPath);
      await ledger.load();
      // The one that was being written may be there or not.
      expect(ledger.usedMs).toBeGreaterThanOrEqual(told * 1000);
      expect(ledger.usedMs).toBeLessThanOrEqual((told + 1) * 1000);
      told = ledger.usedMs / 1000;
    }
  });

  it('cannot be forgotten by damage', async () => {
    for (const text of ['', '{', '{"v":1}', '{"v":1,"day":"2026-11-21","cpuMs":-5}']) {
      await writeFile(workspace.cpuPath, text);
      await expect(new CpuLedger(workspace.cpuPath).load()).rejects.toMatchObject({ code: 'storage_failed' });
    }
  });
});
