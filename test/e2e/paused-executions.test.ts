import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecutionEvent, HistoryEvent, PendingApproval } from '../../src/core/execution.ts';
import type { Customer } from '../../src/workcell/customer.ts';
import { createWorkcell } from '../../src/workcell/workcell.ts';
import { type CellOptions, writeConfig } from '../support/cell-config.ts';
import { startCli } from '../support/cli.ts';
import { stdioServer } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const COUNTER = fileURLToPath(new URL('../support/counter-server.ts', import.meta.url));
const HOLDER = fileURLToPath(new URL('../support/execution-holder.ts', import.meta.url));

let stack: AsyncDisposableStack;
let folder: TempFolder;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  folder = stack.use(await tempFolder());
});

afterEach(() => stack.disposeAsync());

/** Two servers with the same counters: one is asked freely, one only with an approval. */
async function configure(
  approvals: Readonly<Record<string, string>> = {},
  host: string = folder.path,
  sessions: CellOptions['sessions'] = {},
): Promise<string> {
  const counters = join(folder.path, 'counters');
  const counter = (more: object) => stdioServer(process.execPath, [COUNTER, counters], more);
  return writeConfig(host, {
    mcpServers: { free: counter({}), guarded: counter({ requireApproval: ['increment'] }) },
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
    approvals,
    sessions,
  });
}

/** How often a counter was incremented, by what its server has on disk. */
async function count(counter: string): Promise<number> {
  return (await readdir(join(folder.path, 'counters', counter)).catch(() => [])).length;
}

const PROGRAM = `import { increment } from 'servers/free';
import { increment as guarded } from 'servers/guarded';
console.log('before');
await increment({ counter: 'first' });
const outcome = await guarded({ counter: 'second' }).then(() => 'done', ({ code, message }) => code + ': ' + message);
await increment({ counter: 'third' });
return outcome;`;

const PYTHON = `from servers.free import increment
from servers.guarded import increment as guarded
increment(counter="first")
guarded(counter="second")
increment(counter="third")
result = "done"`;

const request = (more: object = {}) => ({
  executionId: 'job',
  session: 's',
  code: PROGRAM,
  timeoutMs: 30_000,
  ...more,
});

async function openAnn(config: string): Promise<Customer> {
  const cell = stack.use(await createWorkcell({ config }));
  return cell.customer('ann');
}

/** Another process that runs the program until the call waits. */
async function hold(config: string, more: object = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, [HOLDER, config, JSON.stringify(request(more))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  stack.defer(() => kill(child));
  let told = '';
  child.stdout?.on('data', (chunk) => {
    told += chunk;
  });
  await eventually(() => told.includes('approval.required'));
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

async function only(ann: Customer): Promise<PendingApproval> {
  const approvals = await ann.listApprovals();
  expect(approvals).toMatchObject([{ executionId: 'job', sessionId: 's', server: 'guarded', tool: 'increment' }]);
  expect(approvals).toEqual((await ann.executionSummary('job')).approvals);
  return approvals[0] as PendingApproval;
}

/** The events of the execution, to its end. */
async function followed(ann: Customer): Promise<readonly HistoryEvent[]> {
  return await Array.fromAsync(ann.watch('job', { follow: true }));
}

function endOf(events: readonly HistoryEvent[]): unknown {
  const last = events.at(-1);
  return last?.type === 'finished' ? { status: last.result.status, value: last.result.value } : last;
}

/** A session with its log as `edit` makes it, as an archive that is well-formed. */
async function archiveOf(config: string, edit: (log: string) => string): Promise<AsyncIterable<Uint8Array>> {
  const ann = await openAnn(config);
  const path = join(folder.path, 'workspaces/ann/sessions/s.jsonl');
  await writeFile(path, edit(await readFile(path, 'utf8')));
  return await ann.exportSession('s');
}

/** Another host: with the same counters, and nothing else. */
async function otherHost(): Promise<string> {
  const other = stack.use(await tempFolder());
  return await configure({}, other.path);
}

const bob = { by: 'bob' };

describe('an execution that waits for an approval', () => {
  it.each([
    ['TypeScript', {}],
    ['Python', { code: PYTHON, language: 'python' }],
  ])('survives kill -9 of its process: approved by another one, its program in %s goes on', async (_, more) => {
    const config = await configure();
    await kill(await hold(config, more));
    const ann = await openAnn(config);
    expect(await ann.executionSummary('job')).toMatchObject({ state: 'paused', result: null });
    const { approvalId } = await only(ann);
    expect([await count('first'), await count('second')]).toEqual([1, 0]);

    await ann.decideApproval(approvalId, { approved: true, ...bob });
    const events = await followed(ann);
    expect(endOf(events)).toEqual({ status: 'completed', value: 'done' });
    expect([await count('first'), await count('second'), await count('third')]).toEqual([1, 1, 1]);
    expect(events.map(({ type }) => type).filter((type) => type.startsWith('approval') || type === 'resumed')).toEqual([
      'approval.required',
      'approval.decided',
      'resumed',
    ]);
    expect(await ann.listApprovals()).toEqual([]);
    // The same again is fine, also now; the contrary is not.
    expect(await ann.decideApproval(approvalId, { approved: true, by: 'eve' })).toMatchObject(bob);
    const contrary = ann.decideApproval(approvalId, { approved: false, by: 'eve' });
    await expect(contrary).rejects.toMatchObject({ code: 'invalid_state' });
  });

  it('is rejected after kill -9, and its program catches that', async () => {
    const config = await configure();
    await kill(await hold(config));
    const ann = await openAnn(config);
    const { approvalId } = await only(ann);
    await ann.decideApproval(approvalId, { approved: false, ...bob, reason: 'no' });
    const value = 'rejected: guarded.increment was rejected by bob: no';
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value });
    expect([await count('first'), await count('second'), await count('third')]).toEqual([1, 0, 1]);
  });

  it('does not pay for the time that it waits', async () => {
    const ann = await openAnn(await configure());
    const { id, result } = await ann.start(request());
    await ann.whenPaused(id, AbortSignal.timeout(45_000));
    const since = performance.now();
    await eventually(() => performance.now() - since > 4_000);
    const waitedMs = performance.now() - since;
    await ann.decideApproval((await only(ann)).approvalId, { approved: true, ...bob });
    const { runMs = 0 } = (await result()).timing ?? {};
    // What was used is written down after the end was told.
    const usedMs = await eventually(async () => {
      const { executions, cpuSecondsPerDay } = await ann.usage();
      return executions.used === 0 && Number(cpuSecondsPerDay.used) * 1000;
    });
    expect(runMs).toBeGreaterThan(waitedMs);
    expect(usedMs).toBeGreaterThan(0);
    // A program that waits uses some of its one CPU, and not half of it.
    expect(usedMs).toBeLessThan(runMs - waitedMs / 2);
  });

  it('gives its sandbox back after the hold time, and goes on when it is decided', async () => {
    const ann = await openAnn(await configure({ hold: '1s' }));
    await expect(ann.execute(request())).rejects.toMatchObject({ code: 'paused', details: { executionId: 'job' } });
    expect((await ann.executionSummary('job')).state).toBe('paused');
    const { approvalId } = await only(ann);
    await ann.decideApproval(approvalId, { approved: true, ...bob });
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value: 'done' });
    expect([await count('first'), await count('second'), await count('third')]).toEqual([1, 1, 1]);
  });

  it('does not keep a server from its end, and goes on with the next one', async () => {
    const config = await configure();
    const cell = stack.use(await createWorkcell({ config }));
    const executing = cell.customer('ann').execute(request());
    executing.catch(() => {});
    await eventually(async () => (await cell.customer('ann').listApprovals()).length === 1);
    expect(await cell.drain(120_000)).toBe(true);
    await expect(executing).rejects.toMatchObject({ code: 'paused' });
    await cell.close();
    const ann = await openAnn(config);
    const { approvalId } = await only(ann);
    await ann.decideApproval(approvalId, { approved: true, ...bob });
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value: 'done' });
  });

  it('asks for each of several calls, and runs again as often as it has to', async () => {
    const code = `import { increment } from 'servers/guarded';
await Promise.all(['first', 'second'].map((counter) => increment({ counter })));
return 'both';`;
    const ann = await openAnn(await configure({ hold: '3s' }));
    await expect(ann.execute(request({ code }))).rejects.toMatchObject({ code: 'paused' });
    // Which of both is asked for first is chance.
    const asked = await ann.listApprovals();
    const idOf = (wanted: string) =>
      String(asked.find((each) => (each.arguments as { counter: string }).counter === wanted)?.approvalId);
    await ann.decideApproval(idOf('second'), { approved: true, ...bob });
    await eventually(async () => (await count('second')) === 1);
    // It runs again, waits for the other call, and is paused once more.
    await eventually(async () => (await ann.listApprovals()).length === 1);
    await ann.decideApproval(idOf('first'), { approved: true, ...bob });
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value: 'both' });
    expect([await count('first'), await count('second')]).toEqual([1, 1]);
  });

  it('is decided from the command line while another process runs it, and by nobody twice', async () => {
    const config = await configure();
    await hold(config);
    const cli = (...args: string[]) =>
      startCli(['--config', config, 'approvals', ...args, '--customer', 'ann'], { cwd: folder.path }).ended;
    const listed = await cli('list', '--json');
    const [approval] = JSON.parse(listed.stdout) as PendingApproval[];
    expect(approval).toMatchObject({ executionId: 'job', arguments: { counter: 'second' } });
    const id = String(approval?.approvalId);
    const approved = await cli('approve', id, '--json', '--reason', 'fine');
    expect(JSON.parse(approved.stdout)).toMatchObject({ approved: true, reason: 'fine' });
    const ann = await openAnn(config);
    const events = await followed(ann);
    expect(endOf(events)).toEqual({ status: 'completed', value: 'done' });
    expect(events.map(({ type }) => type)).not.toContain('resumed');
    expect(await count('second')).toBe(1);
    const rejected = await cli('reject', id);
    expect(rejected).toMatchObject({ code: 2, stderr: expect.stringContaining('it was approved by') });
    expect((await cli('list')).stderr).toContain('Nothing waits to be approved');
  });

  it('is run to its end by the command line when nobody else runs it', async () => {
    const config = await configure();
    await kill(await hold(config));
    const args = ['--config', config, 'approvals', 'approve', 'apr_job_1', '--customer', 'ann'];
    const { code, stderr } = await startCli(args, { cwd: folder.path }).ended;
    expect([code, stderr]).toEqual([0, expect.stringContaining('Execution job: completed')]);
    expect([await count('first'), await count('second'), await count('third')]).toEqual([1, 1, 1]);
  });

  it('is rejected when nobody has decided in time', async () => {
    const config = await configure({ hold: '1s', expire: '3s' });
    const ann = await openAnn(config);
    let approvalId = '';
    const onEvent = (event: ExecutionEvent) => {
      if (event.type === 'approval.required') approvalId = event.approval.approvalId;
    };
    await expect(ann.execute(request({ onEvent }))).rejects.toMatchObject({ code: 'paused' });
    await eventually(async () => (await ann.listApprovals()).length === 0);
    await ann.sweepApprovals();
    const value = expect.stringMatching(/^rejected: guarded.increment was rejected by workcell: nobody had decided by/);
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value });
    const late = ann.decideApproval(approvalId, { approved: true, ...bob });
    await expect(late).rejects.toMatchObject({ code: 'invalid_state' });
    expect(await count('second')).toBe(0);
  });

  it('can be cancelled, and then nothing of it waits any more', async () => {
    const config = await configure();
    await kill(await hold(config));
    const ann = await openAnn(config);
    const { approvalId } = await only(ann);
    await ann.cancel('job');
    expect((await ann.executionSummary('job')).state).toBe('killed');
    expect(await ann.listApprovals()).toEqual([]);
    const late = ann.decideApproval(approvalId, { approved: true, ...bob });
    await expect(late).rejects.toMatchObject({ code: 'invalid_state' });
    expect(await count('second')).toBe(0);
  });

  it('is found by its session alone, and a decision that got stuck is carried out', async () => {
    const config = await configure();
    await kill(await hold(config));
    const approvals = join(folder.path, 'workspaces/ann/approvals');
    const ann = await openAnn(config);
    const { approvalId } = await only(ann);
    // A process put its decision there, and died.
    await writeFile(join(approvals, `${approvalId}.decision.json`), JSON.stringify({ approved: true, ...bob }));
    expect(await ann.listApprovals()).toEqual([]);
    await ann.sweepApprovals('job');
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value: 'done' });
    expect(await readdir(approvals)).toEqual([]);
  });

  it('shows nobody what is asked for who has not the key of its session, and goes on with it', async () => {
    const [key, newKey] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')];
    const config = await configure({}, folder.path, { encryptionKey: key });
    const withKeys = async (sessions: CellOptions['sessions']) => {
      const path = join(folder.path, `${JSON.stringify(sessions).length}.yaml`);
      await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(config, 'utf8')), sessions }));
      return path;
    };
    const secret = 'hush-1234';
    const expectHidden = async () => {
      const workspaces = join(folder.path, 'workspaces');
      const all = await readdir(workspaces, { recursive: true, withFileTypes: true });
      for (const { parentPath, name } of all.filter((each) => each.isFile()))
        expect(await readFile(join(parentPath, name), 'latin1'), name).not.toContain(secret);
    };
    await kill(await hold(config, { code: PROGRAM.replace('second', secret) }));
    const { approvalId, arguments: args } = await only(await openAnn(config));
    expect(args).toEqual({ counter: secret });
    await expectHidden();

    await using keyless = await createWorkcell({ config: await withKeys({}) });
    await expect(keyless.customer('ann').listApprovals()).rejects.toThrow(/^Session "s" is encrypted with the key/);
    const deciding = keyless.customer('ann').decideApproval(approvalId, { approved: true, ...bob });
    await expect(deciding).rejects.toMatchObject({ code: 'invalid_config' });
    await keyless.close();

    const ann = await openAnn(await withKeys({ encryptionKey: newKey, oldKeys: [key] }));
    await ann.decideApproval(approvalId, { approved: true, ...bob, reason: `it is ${secret}` });
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value: 'done' });
    expect(await count(secret)).toBe(1);
    await expectHidden();
  });

  it('is decided on where its session came without the request', async () => {
    const config = await configure();
    await kill(await hold(config));
    await rm(join(folder.path, 'workspaces/ann/approvals'), { recursive: true });
    const ann = await openAnn(config);
    const { approvals } = await ann.executionSummary('job');
    await ann.decideApproval(String(approvals[0]?.approvalId), { approved: true, ...bob });
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value: 'done' });
    const log = await readFile(join(folder.path, 'workspaces/ann/sessions/s.jsonl'), 'utf8');
    expect(log.match(/"approval.requested"/g)).toHaveLength(1);
  });

  it('goes on at another host, where it is listed and decided', async () => {
    const config = await configure();
    await kill(await hold(config));
    const archive = await archiveOf(config, (log) => log);
    const ann = await openAnn(await otherHost());
    await ann.importSession(archive);
    const { approvalId } = await only(ann);
    await ann.decideApproval(approvalId, { approved: true, ...bob });
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value: 'done' });
    expect([await count('first'), await count('second'), await count('third')]).toEqual([1, 1, 1]);
  });

  it('is asked for again where its session says that it was approved elsewhere', async () => {
    const config = await configure();
    await kill(await hold(config));
    const archive = await archiveOf(config, (log) => {
      const { at, seq } = JSON.parse(log.trimEnd().split('\n').at(-1) ?? '');
      const decided = { approvalId: 'apr_job_1', call: 2, approved: true, by: 'me', reason: null, waiting: false };
      return `${log}${JSON.stringify({ v: 1, seq: seq + 1, at, type: 'approval.decided', executionId: 'job', ...decided })}\n`;
    });
    const ann = await openAnn(await otherHost());
    await ann.importSession(archive);
    await ann.resumeExecution('job', { replay: true });
    const [approval] = await eventually(async () => {
      const open = await ann.listApprovals();
      return open.length > 0 && open;
    });
    expect(approval).toMatchObject({ approvalId: 'apr_job_2', call: 2, arguments: { counter: 'second' } });
    expect(await count('second')).toBe(0);
    await ann.decideApproval('apr_job_2', { approved: true, ...bob });
    expect(endOf(await followed(ann))).toEqual({ status: 'completed', value: 'done' });
    expect(await count('second')).toBe(1);
  });
});
