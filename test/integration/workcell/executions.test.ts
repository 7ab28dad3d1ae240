// The executions of a customer, on real session files; what would be programs only record what they did.
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WorkcellError } from '../../../src/core/errors.ts';
import type { ExecutionResult, HistoryEvent } from '../../../src/core/execution.ts';
import { parseCustomerId, parseExecutionId } from '../../../src/core/ids.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { Executions } from '../../../src/workcell/executions.ts';
import type { LiveExecution } from '../../../src/workcell/live-execution.ts';
import { eventually } from '../../support/processes.ts';
import { recordFinish, recordOutput, recordStart } from '../../support/record-execution.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const ANN = parseCustomerId('ann');
const ID = parseExecutionId('e1');
/** What `begin` gives on; nobody looks into it here. */
const RESULT = { status: 'completed' } as ExecutionResult;

let folder: TempFolder;
let store: SessionStore;
let executions: Executions;

beforeEach(async () => {
  folder = await tempFolder();
  open();
});

afterEach(() => folder[Symbol.asyncDispose]());

/** As a process that was started a moment ago. */
function open(): void {
  store = new SessionStore({
    customer: ANN,
    sessionsPath: folder.path,
    onStored: (session, event) => executions.stored(session, event),
  });
  executions = new Executions({
    customer: ANN,
    sessions: async () => store,
    claim: (...claim) => store.claim(...claim),
  });
}

const approval = { executionId: ID, call: 1, approvalId: `apr_${ID}_1` };

/** An execution that stopped where it waits for an approval. */
async function pause(): Promise<void> {
  await using log = await store.create();
  await recordStart(log, ID);
  await log.append({ type: 'approval.requested', ...approval, server: 'bank', tool: 'pay', arguments: { cents: 1 } });
}

/** Runs as a program that prints until it is cancelled, or was told to end. */
function printing(texts: AsyncIterable<string> | Iterable<string>): (live: LiveExecution) => Promise<ExecutionResult> {
  return async ({ id }) => {
    await using log = await store.create();
    await recordStart(log, id);
    for await (const text of texts) await recordOutput(log, id, text);
    await recordFinish(log, id);
    return RESULT;
  };
}

describe('an execution that waits for an approval', () => {
  beforeEach(pause);

  test('is paused, not interrupted, when nobody runs it any more', async () => {
    open();
    expect(await executions.summary(ID)).toMatchObject({
      state: 'paused',
      lastSeq: 2,
      result: null,
      approvals: [{ approvalId: `apr_${ID}_1`, call: 1, server: 'bank', tool: 'pay', arguments: { cents: 1 } }],
    });
    expect(await Array.fromAsync(executions.watch(ID))).toMatchObject([
      { type: 'started' },
      { type: 'approval.required', approvalId: `apr_${ID}_1` },
    ]);
    expect((await executions.recorded(ID)).finished).toBeUndefined();
  });

  test('is told on when it is resumed, to those who waited for it', async () => {
    open();
    const watching = Array.fromAsync(executions.watch(ID, { after: 1, follow: true }));
    const begun = await executions.begin({ executionId: ID }, () => expect.fail('it runs a second time')).catch(String);
    // The log of this one does not tell what was asked for.
    expect(begun).toContain('does not tell');
    await executions.exclusively(ID, (session) =>
      session.append({
        type: 'approval.decided',
        ...approval,
        approved: true,
        by: 'key_1',
        reason: null,
        waiting: false,
      }),
    );
    // Somebody will run it on in a moment, and nobody takes it for cut off.
    expect(await executions.summary(ID)).toMatchObject({ state: 'paused', approvals: [] });
    const live = await executions.resume(ID, async ({ id }, session, history) => {
      expect([history.lastSeq, history.attempt]).toEqual([3, 1]);
      await session.append({ type: 'execution.resumed', executionId: id, attempt: 2, replay: true });
      await recordOutput(session, id, 'again');
      await recordFinish(session, id);
      return RESULT;
    });
    await expect(executions.resume(ID, () => expect.fail())).rejects.toMatchObject({ code: 'invalid_state' });
    expect(await live.outcome).toBe(RESULT);
    expect((await watching).map(({ seq, type }) => `${seq} ${type}`)).toEqual([
      '2 approval.required',
      '3 approval.decided',
      '4 resumed',
      '5 stdout',
      '6 finished',
    ]);
    expect(await executions.summary(ID)).toMatchObject({
      state: 'completed',
      approvals: [],
      result: { stdout: 'again' },
    });
  });

  test('is waited for until the watcher leaves, or everything is closed', async () => {
    open();
    const leaving = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { type } of executions.watch(ID, { follow: true, signal: leaving.signal })) seen.push(type);
    })();
    const { result } = await executions.started({ isNew: false, recorded: await executions.recorded(ID) });
    const outcome = result();
    outcome.catch(() => {});
    await eventually(() => seen.length === 2);
    leaving.abort();
    await watching;
    expect(seen).toEqual(['started', 'approval.required']);
    executions.close();
    await expect(outcome).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('is killed when it is cancelled', async () => {
    open();
    await executions.cancel(ID);
    expect(await executions.summary(ID)).toMatchObject({
      state: 'killed',
      approvals: [],
      result: { status: 'killed', error: { name: 'AbortError' } },
    });
  });
});

test('an execution that was cut off is interrupted once, however many look at it', async () => {
  {
    await using log = await store.create();
    await recordStart(log, ID);
    await recordOutput(log, ID, 'häl');
  }
  open();
  const looks = Array.from({ length: 10 }, (_, index) =>
    index % 2 === 0 ? executions.summary(ID) : Array.fromAsync(executions.watch(ID, { follow: true })),
  );
  await Promise.all(looks);
  expect(await executions.summary(ID)).toMatchObject({
    state: 'interrupted',
    lastSeq: 3,
    result: {
      stdout: 'häl',
      output: { stdoutBytes: 4, stderrBytes: 0, truncated: false },
      error: { name: 'WorkcellError' },
    },
  });
});

test('an execution that another handle on the session keeps is not taken for cut off', async () => {
  const { promise: text, resolve } = Promise.withResolvers<string>();
  const begun = await executions.begin({ executionId: ID }, printing([text] as never));
  const { sessionId, result } = await executions.started(begun);
  await using _log = await store.open(sessionId);
  expect(await executions.summary(ID)).toMatchObject({ state: 'running' });
  resolve('done');
  expect(await result()).toMatchObject({ status: 'completed', stdout: 'done' });
});

test('one who waits for an execution that somebody else has started can leave, and it goes on', async () => {
  const { promise: text, resolve } = Promise.withResolvers<string>();
  await executions.started(await executions.begin({ executionId: ID }, printing([text] as never)));
  const here = await executions.begin({ executionId: ID }, () => expect.fail('it runs a second time'));
  // As it is for another process.
  const known = { isNew: false as const, recorded: await executions.recorded(ID) };
  for (const begun of [here, known]) {
    const leaving = new AbortController();
    const outcome = executions.outcome(begun, leaving.signal);
    leaving.abort();
    await expect(outcome).rejects.toMatchObject({ code: 'cancelled', message: expect.stringContaining('goes on') });
  }
  resolve('done');
  expect(await executions.outcome(known, undefined)).toMatchObject({ status: 'completed', stdout: 'done' });
});

test('one that fails before it has started is none, and the same id starts it then', async () => {
  const fail = async () => {
    throw new WorkcellError('no_matching_tool', 'No tool fits');
  };
  const both = await Promise.all(
    [ID, ID].map((executionId) => executions.begin({ executionId }, fail).catch((error) => error)),
  );
  const first = both.map(async (begun) => executions.started(begun));
  for (const started of await Promise.allSettled(first)) expect(started).toMatchObject({ status: 'rejected' });
  await expect(executions.summary(ID)).rejects.toMatchObject({ code: 'not_found' });
  await expect(Array.fromAsync(executions.watch(ID))).rejects.toMatchObject({ code: 'not_found' });
  await expect(executions.cancel(ID)).rejects.toMatchObject({ code: 'not_found' });
  const { result, isNew } = await executions.started(await executions.begin({ executionId: ID }, printing(['x'])));
  expect({ isNew, result: await result() }).toMatchObject({ isNew: true, result: { stdout: 'x' } });
});

test('one that is cancelled before it has started leaves nothing, and its id is free', async () => {
  const begun = await executions.begin({ executionId: ID }, async ({ signal }) => {
    await once(signal, 'abort');
    throw new WorkcellError('cancelled', 'Waiting for a turn was cancelled');
  });
  const started = executions.started(begun);
  started.catch(() => {});
  const summary = executions.summary(ID);
  summary.catch(() => {});
  await executions.cancel(ID);
  await expect(started).rejects.toMatchObject({ code: 'cancelled' });
  await expect(summary).rejects.toMatchObject({ code: 'not_found' });
  expect(await store.list()).toEqual([]);
  const { result } = await executions.started(await executions.begin({ executionId: ID }, printing(['x'])));
  expect(await result()).toMatchObject({ stdout: 'x' });
});

test('an id that may be in a session that cannot be read does not run', async () => {
  await writeFile(join(folder.path, 'torn.jsonl'), 'not JSON\n');
  await expect(executions.begin({ executionId: ID }, () => expect.fail('it runs'))).rejects.toMatchObject({
    code: 'storage_failed',
    message: expect.stringContaining('torn'),
  });
  const begun = await executions.begin({}, printing(['x']));
  expect(await (await executions.started(begun)).result()).toMatchObject({ stdout: 'x' });
});

test('an execution whose session was deleted is gone, and does not run again', async () => {
  const { sessionId, result } = await executions.started(await executions.begin({ executionId: ID }, printing(['x'])));
  await result();
  await rm(join(folder.path, `${sessionId}.jsonl`));
  open();
  const gone = { code: 'history_gone' };
  await expect(executions.summary(ID)).rejects.toMatchObject(gone);
  await expect(Array.fromAsync(executions.watch(ID, { follow: true }))).rejects.toMatchObject(gone);
  await expect(executions.begin({ executionId: ID }, () => expect.fail('it runs'))).rejects.toMatchObject(gone);
});

test('what is over is kept on disk alone, and a reader that does not read keeps nothing in memory', async () => {
  const size = 20_000;
  const texts = Array.from({ length: 500 }, (_, index) => String(index).padEnd(size, '.'));
  const begun = await executions.begin({ executionId: ID }, printing(texts));
  if (!('live' in begun)) throw new Error('it was known');
  await begun.live.started;
  const watching = executions.watch(ID, { follow: true });
  const seen: HistoryEvent[] = [];
  for (let next = await watching.next(); !next.done; next = await watching.next()) {
    seen.push(next.value);
    if (seen.length === 1) await begun.live.outcome;
  }
  // Of 10 MB that were written, what is kept for those who keep up.
  expect(begun.live.recent(0)).toBeUndefined();
  expect(begun.live.recent(seen.length - 14)?.length).toBe(14);
  expect(begun.live.recent(seen.length - 15)).toBeUndefined();
  expect(seen.map((event) => (event.type === 'stdout' ? event.text : event.type))).toEqual([
    'started',
    ...texts,
    'finished',
  ]);
  expect(executions.running.size).toBe(0);
});

test('an execution is told at once, without a look at the disk', async () => {
  const queue: PromiseWithResolvers<string>[] = Array.from({ length: 3 }, () => Promise.withResolvers());
  const begun = await executions.begin({}, printing(queue.map(({ promise }) => promise) as never));
  const { id, sessionId, result } = await executions.started(begun);
  const seen: string[] = [];
  const watching = (async () => {
    for await (const event of executions.watch(id, { follow: true })) seen.push(event.type);
  })();
  await eventually(() => seen.length === 1);
  // Nothing could be read from a log that is not there.
  await rm(join(folder.path, `${sessionId}.jsonl`));
  for (const [index, { resolve }] of queue.entries()) {
    resolve('x');
    await eventually(() => seen.length >= index + 2);
  }
  await Promise.all([watching, result()]);
  expect(seen).toEqual(['started', 'stdout', 'stdout', 'stdout', 'finished']);
});
