import { appendFile, copyFile, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import type { StoredEvent } from '../../../src/sessions/events.ts';
import { LANDMARK_BYTES } from '../../../src/sessions/landmark.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { recordExecution, recordFinish, recordOutput, recordStart } from '../../support/record-execution.ts';
import { nextLine, startChild } from '../util/child.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

const customer = parseCustomerId('acme');
const [s1, s2] = [parseSessionId('s1'), parseSessionId('s2')];
const exe = parseExecutionId;

interface Folder {
  readonly sessionsPath: string;
  readonly logPath: string;
  readonly indexPath: string;
  /** A store that knows nothing but what is on disk. */
  fresh(): SessionStore;
}

async function freshFolder(): Promise<Folder> {
  const sessionsPath = await temporaryFolder();
  return {
    sessionsPath,
    logPath: join(sessionsPath, 's1.jsonl'),
    indexPath: join(sessionsPath, '.index', 's1'),
    fresh: () => new SessionStore({ customer, sessionsPath }),
  };
}

/** Four executions in one session, two of them at the same time, with a checkpoint between. */
async function recorded(): Promise<Folder> {
  const folder = await freshFolder();
  await using log = await folder.fresh().create(s1);
  await recordExecution(log, 'e1', 'one');
  await recordStart(log, 'e2');
  await recordStart(log, 'e3');
  await recordOutput(log, 'e2', 'two');
  await recordOutput(log, 'e3', 'three');
  await log.append({ type: 'checkpoint.set', step: 7, lastTask: null, context: { at: 'three' } });
  await recordFinish(log, 'e3');
  await recordFinish(log, 'e2');
  await recordExecution(log, 'e4', 'x'.repeat(900_000), 'y'.repeat(900_000));
  return folder;
}

const typesOf = (events: readonly StoredEvent[]) => events.map(({ type }) => type);
const textsOf = (events: readonly StoredEvent[]) => events.flatMap((event) => ('text' in event ? [event.text] : []));

async function execution(store: SessionStore, id: string): Promise<readonly StoredEvent[]> {
  return await Array.fromAsync(store.readExecution(exe(id)));
}

async function landmarksOf(store: SessionStore): Promise<readonly unknown[]> {
  return [...((await store.findReader(s1))?.landmarks() ?? [])];
}

describe('the index of a session', () => {
  test('leads to an execution, and to nothing of another', async () => {
    const store = (await recorded()).fresh();
    const events = await execution(store, 'e2');
    expect(typesOf(events)).toEqual(['execution.started', 'output', 'execution.finished']);
    expect(textsOf(events)).toEqual(['two']);
    expect(textsOf(await execution(store, 'e3'))).toEqual(['three']);
  });

  test('leads to every part of an execution that was resumed, also when it waits for a decision', async () => {
    const folder = await freshFolder();
    const store = folder.fresh();
    await using log = await store.create(s1);
    await recordStart(log, 'e1');
    await recordFinish(log, 'e1', 'interrupted');
    await recordExecution(log, 'e2', 'between');
    const approval = { executionId: 'e1', call: 1, approvalId: 'apr_e1_1' };
    await log.append({ type: 'approval.decided', ...approval, approved: true, by: 'ann', reason: null });
    await recordExecution(log, 'e3', 'between');
    await log.append({ type: 'execution.resumed', executionId: 'e1', attempt: 2, replay: true });
    await recordOutput(log, 'e1', 'again');
    expect(typesOf(await execution(store, 'e1'))).toEqual([
      'execution.started',
      'execution.finished',
      'approval.decided',
      'execution.resumed',
      'output',
    ]);
  });

  test('lists the executions by pages, the latest first', async () => {
    const reader = await (await recorded()).fresh().findReader(s1);
    expect(reader?.executionCount).toBe(4);
    expect(reader?.executions({ limit: 3 })).toEqual({ executions: ['e4', 'e3', 'e2'], next: 'e2' });
    expect(reader?.executions({ limit: 3, before: 'e2' })).toEqual({ executions: ['e1'], next: null });
    expect(reader?.executions({ limit: 4 })).toMatchObject({ next: null });
    expect(() => reader?.executions({ limit: 1, before: 'e9' })).toThrow(
      expect.objectContaining({ code: 'not_found' }),
    );
  });

  test('leads to the last checkpoint', async () => {
    const folder = await recorded();
    expect(await (await folder.fresh().findReader(s1))?.last('checkpoint.set')).toMatchObject({ step: 7 });
    const empty = folder.fresh();
    await (await empty.create(s2)).close();
    expect(await (await empty.findReader(s2))?.last('checkpoint.set')).toBeUndefined();
  });

  test('has a landmark in every mebibyte, so that little is read to complete it', async () => {
    const folder = await freshFolder();
    await using log = await folder.fresh().create(s1);
    await recordStart(log, 'e1');
    for (let count = 0; count < 5; count++) await recordOutput(log, 'e1', 'x'.repeat(600_000));
    const types = (await landmarksOf(folder.fresh())).map((landmark) => (landmark as { type: string }).type);
    expect(types).toEqual(['session.created', 'execution.started', 'mark', 'mark']);
  });

  test('holds nothing of what programs do', async () => {
    const { indexPath } = await recorded();
    const text = await readFile(indexPath, 'latin1');
    expect(text).toContain('e4');
    for (const secret of ['return 1', 'three', 'xxx']) expect(text).not.toContain(secret);
  });

  type Damage = (folder: Folder) => Promise<unknown>;
  const damages: readonly (readonly [string, Damage])[] = [
    ['is missing', ({ indexPath }) => rm(indexPath)],
    ['is empty', ({ indexPath }) => truncate(indexPath)],
    ['lacks its end', ({ indexPath }) => truncate(indexPath, 3 * LANDMARK_BYTES)],
    ['ends in the middle of a landmark', ({ indexPath }) => truncate(indexPath, 4 * LANDMARK_BYTES - 10)],
    [
      'has zeros where a page was lost',
      ({ indexPath }) => overwrite(indexPath, 2 * LANDMARK_BYTES, 4 * LANDMARK_BYTES),
    ],
    ['is of no kind', ({ indexPath }) => writeFile(indexPath, 'x'.repeat(5_000))],
    ['has lost its folder', ({ sessionsPath }) => rm(join(sessionsPath, '.index'), { recursive: true })],
  ];

  test.each(damages)('is not believed where it %s, and is completed when the session is opened', async (_, damage) => {
    const folder = await recorded();
    const [landmarks, whole] = [await landmarksOf(folder.fresh()), await readFile(folder.indexPath)];
    await damage(folder);
    expect(await landmarksOf(folder.fresh())).toEqual(landmarks);
    expect(textsOf(await execution(folder.fresh(), 'e2'))).toEqual(['two']);
    await (await folder.fresh().open(s1)).close();
    expect(await readFile(folder.indexPath)).toEqual(whole);
  });

  test('is not believed for another log of the same name and length', async () => {
    const folder = await recorded();
    const other = await recorded();
    await rename(other.logPath, folder.logPath);
    const before = await readFile(folder.indexPath);
    await (await folder.fresh().open(s1)).close();
    const after = await readFile(folder.indexPath);
    expect(after).not.toEqual(before);
    expect(after).toEqual(await readFile(other.indexPath));
    expect(textsOf(await execution(folder.fresh(), 'e2'))).toEqual(['two']);
  });

  test('is not believed for an older copy of the log that has grown otherwise', async () => {
    const folder = await freshFolder();
    const copy = join(folder.sessionsPath, 'copy');
    const log = await folder.fresh().create(s1);
    await recordExecution(log, 'e1');
    await copyFile(folder.logPath, copy);
    await recordExecution(log, 'e2', 'a much longer text than that of the other');
    await log.close();
    const later = await readFile(folder.indexPath);
    await rename(copy, folder.logPath);
    await using again = await folder.fresh().open(s1);
    await recordExecution(again, 'e3', 'short');
    // What a host without the new index, such as one restored from a backup, would find.
    await writeFile(folder.indexPath, later);
    const reader = await folder.fresh().findReader(s1);
    expect(reader?.executions({ limit: 9 }).executions).toEqual(['e3', 'e1']);
  });

  test('is complete after its writer was killed, but for the end of the log', async () => {
    const folder = await freshFolder();
    const writer = startChild(new URL('./execution-writer.ts', import.meta.url), [folder.sessionsPath, s1]);
    let acknowledged = '';
    for (let count = 0; count < 50; count++) acknowledged = await nextLine(writer);
    await writer.kill();
    const store = folder.fresh();
    expect(await store.locate(exe(acknowledged))).toMatchObject({ session: 's1' });
    const reader = await store.findReader(s1);
    const all = (await Array.fromAsync((await store.find(s1)) ?? [])).flatMap((event) =>
      event.type === 'execution.started' ? [event.executionId] : [],
    );
    expect(reader?.executions({ limit: 1_000_000 }).executions).toEqual(all.toReversed());
    for (const id of all) expect(await store.locate(exe(id)), id).toMatchObject({ session: 's1' });
  });

  test('may be impossible to write: nothing fails for that', async () => {
    const folder = await freshFolder();
    await writeFile(join(folder.sessionsPath, '.index'), 'a file in the place of the folder');
    await using log = await folder.fresh().create(s1);
    await recordExecution(log, 'e1', 'one');
    expect(textsOf(await execution(folder.fresh(), 'e1'))).toEqual(['one']);
  });
});

describe('SessionStore.locate()', () => {
  test('finds an execution in whichever session it is, as soon as its start is on disk', async () => {
    const folder = await recorded();
    await using log = await folder.fresh().create(s2);
    await recordStart(log, 'e5');
    const store = folder.fresh();
    expect(await store.locate(exe('e1'))).toMatchObject({ session: 's1' });
    expect(await store.locate(exe('e5'))).toMatchObject({ session: 's2' });
    expect(await store.locate(exe('e6'))).toBeUndefined();
  });

  test('reads no log but its first line and the one that it finds', async () => {
    const folder = await recorded();
    const store = folder.fresh();
    const place = await store.locate(exe('e2'));
    const { start } = place as { start: number };
    // Were anything read on the way, it would be in the way.
    const first = (await readFile(folder.logPath)).indexOf('\n') + 1;
    await overwrite(folder.logPath, first, start - 1);
    expect(await folder.fresh().locate(exe('e2'))).toEqual(place);
  });

  test('knows what lies in logs that were never registered', async () => {
    const folder = await recorded();
    await rm(join(folder.sessionsPath, '.executions'), { recursive: true });
    const store = folder.fresh();
    for (const id of ['e1', 'e2', 'e3', 'e4']) expect(await store.locate(exe(id)), id).toMatchObject({ session: 's1' });
    expect((await readdir(join(folder.sessionsPath, '.executions'))).length).toBeGreaterThan(0);
  });

  test('knows what lies in a log that came without its index', async () => {
    const [folder, other] = [await freshFolder(), await recorded()];
    await using log = await folder.fresh().create(s2);
    await recordStart(log, 'e9');
    await copyFile(other.logPath, folder.logPath);
    expect(await folder.fresh().locate(exe('e2'))).toMatchObject({ session: 's1' });
  });

  test('takes no claim for an execution whose start a crash has kept from the log', async () => {
    const folder = await recorded();
    const { size } = await stat(folder.logPath);
    const store = folder.fresh();
    // The claim of e5 was written beside its start; the start was not, and something else came after.
    await using log = await store.open(s1);
    await recordStart(log, 'e5');
    expect(await store.locate(exe('e5'))).toEqual({ session: 's1', start: size });
    await log.close();
    await truncate(folder.logPath, size);
    expect(await folder.fresh().locate(exe('e5'))).toBeUndefined();
    await using later = await folder.fresh().open(s1);
    await recordStart(later, 'e6');
    expect(await folder.fresh().locate(exe('e5'))).toBeUndefined();
    expect(await folder.fresh().locate(exe('e6'))).toMatchObject({ session: 's1' });
    await recordStart(later, 'e5');
    expect(await folder.fresh().locate(exe('e5'))).toMatchObject({ session: 's1' });
  });

  test('takes what a crash has left without a newline for nothing', async () => {
    const folder = await recorded();
    const register = join(folder.sessionsPath, '.executions');
    for (const name of await readdir(register)) await appendFile(join(register, name), 'e1 s1 12');
    await using log = await folder.fresh().create(s2);
    await recordStart(log, 'e1b');
    expect(await folder.fresh().locate(exe('e1'))).toMatchObject({ session: 's1' });
    expect(await folder.fresh().locate(exe('e1b'))).toMatchObject({ session: 's2' });
  });
});

async function overwrite(path: string, start: number, end: number): Promise<void> {
  const bytes = await readFile(path);
  await writeFile(path, bytes.fill(0, start, end));
}
