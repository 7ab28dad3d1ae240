import { readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import { pruneSessions } from '../../../src/sessions/prune-sessions.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { summarizeSessions } from '../../../src/sessions/session-summary.ts';
import { setCheckpoint } from '../../../src/workcell/session-changes.ts';
import { recordExecution, recordStart } from '../../support/record-execution.ts';
import { nextLine, startChild } from '../util/child.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

const customer = parseCustomerId('acme');
const [s1, s3] = [parseSessionId('s1'), parseSessionId('s3')];
const exe = parseExecutionId;

async function folderWith(sessions: Readonly<Record<string, readonly string[]>>): Promise<string> {
  const sessionsPath = await temporaryFolder();
  const store = new SessionStore({ customer, sessionsPath });
  for (const [id, executions] of Object.entries(sessions)) {
    await using log = await store.create(parseSessionId(id));
    for (const execution of executions) await recordExecution(log, execution, 'text');
  }
  return sessionsPath;
}

const storeOf = (sessionsPath: string) => new SessionStore({ customer, sessionsPath });

describe('SessionStore.remove()', () => {
  test('leaves nothing but the knowledge that its executions have run', async () => {
    const sessionsPath = await folderWith({ s1: ['e1', 'e2'], s2: ['e3'] });
    await storeOf(sessionsPath).remove(s1);
    expect(await readdir(join(sessionsPath, '.index'))).toEqual(['s2']);
    const store = storeOf(sessionsPath);
    expect(await store.list()).toEqual(['s2']);
    expect(await store.locate(exe('e1'))).toBe('gone');
    expect(await store.locate(exe('e3'))).toMatchObject({ session: 's2' });
    await expect(Array.fromAsync(store.readExecution(exe('e2')))).rejects.toMatchObject({ code: 'history_gone' });
    await expect(Array.fromAsync(store.readExecution(exe('e9')))).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.remove(s1)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('keeps its word when a session of the same name is made', async () => {
    const sessionsPath = await folderWith({ s1: ['e1'] });
    const store = storeOf(sessionsPath);
    await store.remove(s1);
    await using log = await store.create(s1);
    await recordStart(log, 'e2');
    expect(await storeOf(sessionsPath).locate(exe('e1'))).toBe('gone');
    expect(await storeOf(sessionsPath).locate(exe('e2'))).toMatchObject({ session: 's1' });
  });

  test('refuses a session that this process has open', async () => {
    const sessionsPath = await folderWith({ s1: ['e1'] });
    const store = storeOf(sessionsPath);
    const log = await store.open(s1);
    await expect(store.remove(s1)).rejects.toMatchObject({ code: 'busy' });
    await expect(storeOf(sessionsPath).remove(s1)).rejects.toMatchObject({ code: 'busy' });
    expect(await store.locate(exe('e1'))).toMatchObject({ session: 's1' });
    await log.close();
    await store.remove(s1);
  });

  test('refuses a session that another process has open', async () => {
    const sessionsPath = await temporaryFolder();
    const writer = startChild(new URL('./writer.ts', import.meta.url), [sessionsPath, s1]);
    await nextLine(writer);
    await expect(storeOf(sessionsPath).remove(s1)).rejects.toMatchObject({
      code: 'busy',
      details: { pid: writer.pid },
    });
  });

  test('removes one that is damaged, and its executions stay known', async () => {
    const sessionsPath = await folderWith({ s1: ['e1'] });
    await writeFile(join(sessionsPath, 's1.jsonl'), 'not JSON\n');
    await storeOf(sessionsPath).remove(s1);
    expect(await storeOf(sessionsPath).locate(exe('e1'))).toBe('gone');
  });

  test('never takes a log from under whoever opens it at the same time', async () => {
    const sessionsPath = await folderWith({ s1: ['e1'] });
    for (let round = 0; round < 20; round++) {
      const [remover, writer] = [storeOf(sessionsPath), storeOf(sessionsPath)];
      const append = async () => {
        await using log = await writer.openOrCreate(s1);
        return (await log.append({ type: 'checkpoint.set', step: round, lastTask: null, context: null })).seq;
      };
      const [removed, seq] = await Promise.allSettled([remover.remove(s1), append()]);
      const history = await storeOf(sessionsPath).find(s1);
      const kept = (await Array.fromAsync(history ?? [])).some((event) => 'step' in event && event.step === round);
      if (seq.status === 'fulfilled' && removed.status === 'rejected') expect(kept).toBe(true);
      // Removed after it was written, or before: then it is in the new one.
      if (seq.status === 'fulfilled' && history !== undefined) expect(kept).toBe(true);
      if (seq.status === 'rejected') expect(seq.reason).toMatchObject({ code: 'busy' });
    }
  });
});

describe('pruneSessions()', () => {
  const old = new Date('2026-01-01T00:00:00Z');
  const age = (sessionsPath: string, id: string, time: Date) => utimes(join(sessionsPath, `${id}.jsonl`), time, time);

  test('deletes what was not written to since, and says what it would delete', async () => {
    const sessionsPath = await folderWith({ s1: ['e1'], s2: ['e2'], s3: ['e3'] });
    await age(sessionsPath, 's1', new Date(old.getTime() - 1));
    await age(sessionsPath, 's2', old);
    const store = storeOf(sessionsPath);
    const dry = await pruneSessions(store, { before: old, dryRun: true });
    expect(dry).toMatchObject({ deleted: [{ sessionId: 's1', writtenAt: '2025-12-31T23:59:59.999Z' }], kept: [] });
    expect(await store.list()).toEqual(['s1', 's2', 's3']);
    expect(await pruneSessions(store, { before: old })).toEqual(dry);
    expect(await store.list()).toEqual(['s2', 's3']);
    expect(await store.locate(exe('e1'))).toBe('gone');
  });

  test('never deletes a session that somebody has open', async () => {
    const sessionsPath = await folderWith({ s1: ['e1'] });
    await age(sessionsPath, 's1', new Date(0));
    const store = storeOf(sessionsPath);
    await using _log = await store.open(s1);
    for (const dryRun of [true, false]) {
      expect(await pruneSessions(storeOf(sessionsPath), { before: old, dryRun })).toMatchObject({
        deleted: [],
        kept: [{ sessionId: 's1', reason: 'it is in use' }],
      });
    }
    expect(await store.list()).toEqual(['s1']);
  });
});

describe('the limit on the size of a session', () => {
  test('lets an execution that has started go on, and neither a further one start nor a checkpoint be set from outside', async () => {
    const sessionsPath = await temporaryFolder();
    const store = new SessionStore({ customer, sessionsPath, maxBytes: 10_000 });
    await using log = await store.create(s1);
    await recordExecution(log, 'e1', 'x'.repeat(5_000));
    await recordStart(log, 'e2');
    await log.append({ type: 'output', executionId: 'e2', stream: 'stdout', text: 'x'.repeat(5_000) });
    await log.append({ type: 'output', executionId: 'e2', stream: 'stdout', text: 'still' });
    await expect(recordStart(log, 'e3')).rejects.toMatchObject({
      code: 'storage_full',
      message: expect.stringMatching(
        /Session "s1" takes no more: its log has 1\d KiB, and the limit is 9.8 KiB; use another session/,
      ),
    });
    await expect(setCheckpoint(log, { step: 1 })).rejects.toMatchObject({ code: 'storage_full' });
    await log.append({ type: 'checkpoint.set', step: 'of e2', lastTask: null, context: null });
    await log.append({ type: 'session.closed' });
    expect(await store.locate(exe('e3'))).toBeUndefined();
  });
});

describe('summarizeSessions()', () => {
  test('tells of a page of sessions, the last first, and of one that cannot be read why', async () => {
    const sessionsPath = await folderWith({ s1: ['e1', 'e2'], s2: [], s3: ['e3'] });
    const store = storeOf(sessionsPath);
    await using log = await store.open(s3);
    await log.append({ type: 'session.closed' });
    await writeFile(join(sessionsPath, 's2.jsonl'), 'not JSON\n');
    const first = await summarizeSessions(store, { limit: 2 });
    expect(first).toMatchObject({
      sessions: [
        { sessionId: 's3', state: 'closed', executions: 1, problem: null, startedAt: expect.any(String) },
        { sessionId: 's2', state: 'unreadable', problem: 'Cannot read session "s2": line 1 is not JSON' },
      ],
      next: 's2',
    });
    const second = await summarizeSessions(store, { limit: 2, before: first.next ?? '' });
    expect(second).toMatchObject({ sessions: [{ sessionId: 's1', state: 'open', executions: 2 }], next: null });
  });
});
