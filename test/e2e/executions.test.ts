import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ExecutionResult, HistoryEvent } from '../../src/core/execution.ts';
import type { Customer } from '../../src/workcell/customer.ts';
import type { WatchOptions } from '../../src/workcell/watch-execution.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { doubleServer, stdioServer } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const number = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] };
let cell: Cell;
let ann: Customer;
let counters: TempFolder;

beforeAll(async () => {
  const tools = [{ name: 'double_number', description: 'Doubles a number', inputSchema: number }];
  counters = await tempFolder();
  const counter = [join(import.meta.dirname, '../support/counter-server.ts'), counters.path, 'keyed'];
  cell = await openCell({
    mcpServers: {
      maths: doubleServer({ tools }),
      keyed: { ...stdioServer(process.execPath, counter), idempotencyKey: true },
    },
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
  });
  ann = cell.workcell.customer('ann');
});

afterAll(async () => {
  await cell?.[Symbol.asyncDispose]();
  await counters?.[Symbol.asyncDispose]();
});

const watch = (id: string, options: WatchOptions = {}): Promise<HistoryEvent[]> =>
  Array.fromAsync(ann.watch(id, options));

const CHATTY = `
  import { doubleNumber } from 'servers/maths';
  console.log('before');
  await doubleNumber({ n: 2 });
  await doubleNumber({ m: 2 }).catch(() => {});
  console.error('after');
  return { n: 4 };`;

it('tells from disk what the caller was told, and what a watcher was told while it ran', async () => {
  const started = await ann.start({ code: CHATTY, session: 'told' });
  expect(started).toMatchObject({ sessionId: 'told', isNew: true });
  const [live, result] = await Promise.all([watch(started.id, { follow: true }), started.result()]);
  const recorded = await watch(started.id);
  expect(recorded).toEqual(live);
  const types = live.map(({ type }) => type);
  // What a program prints comes another way than its calls.
  expect(types.filter((type) => type !== 'stdout' && type !== 'stderr')).toEqual([
    'started',
    'tool.called',
    'tool.returned',
    'tool.called',
    'tool.returned',
    'finished',
  ]);
  expect(live.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(live.at(-1)).toMatchObject({ result });
  expect(result).toMatchObject({ status: 'completed', value: { n: 4 }, stdout: 'before\n', stderr: 'after\n' });
});

it('keeps everything of a result', async () => {
  const programs = [
    CHATTY,
    'const x: number = ;',
    'throw Object.assign(new RangeError("far"), { by: 3 });',
    'process.exit(3);',
    'console.log("x".repeat(2_000_000)); return 1;',
    'for (;;);',
  ];
  for (const code of programs) {
    const result: ExecutionResult = await ann.execute({ code, timeoutMs: 3_000 });
    expect((await ann.executionSummary(result.executionId)).result).toEqual(result);
  }
});

it('runs an id once, whoever asks for it at the same time or later', async () => {
  const code = `
    import { appendFile } from 'node:fs/promises';
    await appendFile('/workspace/runs', 'x');
    return 'ran';`;
  const request = { code, executionId: 'order-7' };
  const results = await Promise.all([ann.execute(request), ann.execute(request), ann.execute(request)]);
  expect(results.map(({ value }) => value)).toEqual(['ran', 'ran', 'ran']);
  const again = await ann.start(request);
  expect(again).toMatchObject({ id: 'order-7', isNew: false });
  expect(await again.result()).toEqual(results[0]);
  expect(await readFile(cell.hostPath('ann', 'runs'), 'utf8')).toBe('x');
  await expect(ann.start({ ...request, code: 'return 2' })).rejects.toMatchObject({
    code: 'already_exists',
    message: expect.stringContaining('other code'),
  });
  await expect(ann.start({ ...request, tools: [] })).rejects.toMatchObject({ code: 'already_exists' });
  await expect(ann.start({ ...request, session: 'other' })).rejects.toMatchObject({ code: 'already_exists' });
});

it('ends a program that is cancelled, as often as it is asked', async () => {
  const { id, result } = await ann.start({ code: 'console.log("on"); for (;;);' });
  for await (const event of ann.watch(id, { follow: true })) if (event.type === 'stdout') break;
  expect(await ann.executionSummary(id)).toMatchObject({ state: 'running', lastSeq: 2, result: null });
  await ann.cancel(id);
  expect(await result()).toMatchObject({ status: 'killed', stdout: 'on\n' });
  await ann.cancel(id);
  expect(await watch(id)).toMatchObject([{ type: 'started' }, { type: 'stdout' }, { type: 'finished' }]);
  await expect(ann.cancel('nosuch')).rejects.toMatchObject({ code: 'not_found' });
});

it('tells a reader that falls behind everything, once', async () => {
  const code = 'for (let i = 0; i < 2_000; i++) { console.log(i); await new Promise(setImmediate); } return 1;';
  const { id, result } = await ann.start({ code });
  const seen: HistoryEvent[] = [];
  for await (const event of ann.watch(id, { follow: true })) {
    // The program is done before the second event is taken.
    if (seen.length === 0) await result();
    seen.push(event);
  }
  expect(seen.map(({ seq }) => seq)).toEqual(seen.map((_, index) => index + 1));
  const text = seen.map((event) => (event.type === 'stdout' ? event.text : '')).join('');
  expect(text).toBe(Array.from({ length: 2_000 }, (_, i) => `${i}\n`).join(''));
  expect(seen.at(-1)).toMatchObject({ type: 'finished' });
});

it('goes on where a watcher stopped', async () => {
  const { id } = await ann.start({ code: CHATTY });
  const whole = await watch(id, { follow: true });
  for (const after of [0, 3, 7, 8, 9]) {
    expect(await watch(id, { after, follow: true })).toEqual(whole.slice(after));
    expect(await watch(id, { after })).toEqual(whole.slice(after));
  }
});

it('stops telling when the watcher leaves', async () => {
  const { id } = await ann.start({ code: 'for (;;);' });
  const leaving = new AbortController();
  const watching = watch(id, { follow: true, signal: leaving.signal });
  await eventually(async () => (await ann.executionSummary(id)).state === 'running');
  leaving.abort();
  expect(await watching).toMatchObject([{ type: 'started' }]);
  await ann.cancel(id);
});

it('keeps the calls of two customers apart that have chosen the same id', async () => {
  const code = (mark: string) =>
    `import { increment } from 'servers/keyed'; return await increment({ counter: 'both', mark: '${mark}' });`;
  const ours = await ann.execute({ code: code('ann'), executionId: 'order-8' });
  const theirs = await cell.workcell.customer('bob').execute({ code: code('bob'), executionId: 'order-8' });
  expect([ours.value, theirs.value]).toEqual([
    { count: 1, mark: 'ann' },
    { count: 2, mark: 'bob' },
  ]);
});
