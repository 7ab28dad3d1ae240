// A process is killed by SIGKILL in the middle of executions; what they were is told by another one.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { HistoryEvent } from '../../src/core/execution.ts';
import type { ExecuteRequest } from '../../src/workcell/execute-request.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { eventually } from '../support/processes.ts';

const HOLDER = fileURLToPath(new URL('../support/execution-holder.ts', import.meta.url));
const TICKING = `
  import { appendFile } from 'node:fs/promises';
  await appendFile('/workspace/runs', 'x');
  for (let i = 0; ; i++) { console.log('tick', i); await new Promise((resolve) => setTimeout(resolve, 5)); }`;
const REQUEST = { code: TICKING, executionId: 'ticking', session: 'cut', timeoutMs: 600_000 };

let cell: Cell;
let holder: ChildProcess | undefined;

beforeEach(async () => {
  cell = await openCell({ sandbox: { driver: 'bubblewrap', isolation: 'process' } });
});

afterEach(async () => {
  await kill();
  await cell?.[Symbol.asyncDispose]();
});

/** Resolves when the process has ended. */
async function kill(): Promise<void> {
  if (holder === undefined || holder.exitCode !== null || holder.signalCode !== null) return;
  const exit = new Promise((resolve) => holder?.once('exit', resolve));
  holder.kill('SIGKILL');
  await exit;
}

/** Has another process run it; gives the events that this process has told, which grow. */
function hold(request: ExecuteRequest): readonly HistoryEvent[] {
  holder = spawn(process.execPath, [HOLDER, cell.configPath, JSON.stringify(request)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const told: HistoryEvent[] = [];
  if (holder.stdout !== null)
    createInterface({ input: holder.stdout }).on('line', (line) => told.push(JSON.parse(line)));
  return told;
}

it('an execution whose process was killed is told on from where it broke off, and never runs again by itself', async () => {
  const told = hold(REQUEST);
  await eventually(() => told.length >= 20);
  await kill();
  const ann = cell.workcell.customer('ann');

  const seen = told.slice(0, 7);
  const rest = await Array.fromAsync(ann.watch('ticking', { after: 7, follow: true }));
  const whole = await Array.fromAsync(ann.watch('ticking'));
  expect([...seen, ...rest]).toEqual(whole);
  expect(whole.slice(0, told.length)).toEqual(told);
  expect(whole.map(({ seq }) => seq)).toEqual(whole.map((_, index) => index + 1));
  const stdout = whole.map((event) => (event.type === 'stdout' ? event.text : '')).join('');
  expect(whole.at(-1)).toMatchObject({
    type: 'finished',
    result: { status: 'interrupted', stdout, error: { fields: { code: 'sandbox_lost' } }, sessionId: 'cut' },
  });
  expect(await ann.executionSummary('ticking')).toMatchObject({ state: 'interrupted', lastSeq: whole.length });

  const again = await ann.start(REQUEST);
  expect(again).toMatchObject({ isNew: false, sessionId: 'cut' });
  expect(await again.result()).toMatchObject({ status: 'interrupted', stdout });
  await expect(ann.execute(REQUEST)).rejects.toMatchObject({ code: 'sandbox_lost' });
  await expect(ann.start({ ...REQUEST, code: '1' })).rejects.toMatchObject({ code: 'already_exists' });
  expect(await readFile(cell.hostPath('ann', 'runs'), 'utf8')).toBe('x');

  for (const _ of ['once', 'again']) await ann.cancel('ticking');
  expect(await ann.executionSummary('ticking')).toMatchObject({ state: 'killed', lastSeq: whole.length + 1 });
});

it('an execution of another process is told while it runs, also when it is cut off then', async () => {
  const told = hold(REQUEST);
  await eventually(() => told.length >= 2);
  const ann = cell.workcell.customer('ann');
  expect(await ann.executionSummary('ticking')).toMatchObject({ state: 'running', result: null });
  await expect(ann.cancel('ticking')).rejects.toMatchObject({ code: 'busy' });
  const seen: HistoryEvent[] = [];
  for await (const event of ann.watch('ticking', { follow: true })) {
    seen.push(event);
    if (event.type === 'stdout' && event.text.includes('tick 50\n')) await kill();
  }
  expect(seen.slice(0, told.length)).toEqual(told);
  expect(seen.at(-1)).toMatchObject({ type: 'finished', result: { status: 'interrupted' } });
});
