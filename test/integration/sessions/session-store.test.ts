import { appendFile, readdir, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  newSessionId,
  parseCustomerId,
  parseExecutionId,
  parseSessionId,
  type SessionId,
} from '../../../src/core/ids.ts';
import type { SessionEvent, StoredEvent } from '../../../src/sessions/events.ts';
import type { SessionLog } from '../../../src/sessions/session-log.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { SAMPLE_EVENTS } from '../../unit/sessions/sample-events.ts';
import { nextLine, startChild, startLimited } from '../util/child.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

const customer = parseCustomerId('acme');
const id = parseSessionId('s1');
const output = (text: string): SessionEvent => ({ type: 'output', executionId: 'e1', stream: 'stdout', text });

async function freshStore(): Promise<{ readonly sessionsPath: string; readonly store: SessionStore }> {
  const sessionsPath = await temporaryFolder();
  return { sessionsPath, store: new SessionStore({ customer, sessionsPath }) };
}

/** What lies in the folder besides indexes. */
const filesIn = async (folder: string) => (await readdir(folder)).filter((name) => name !== '.index');
const eventsOf = (log: AsyncIterable<StoredEvent> | undefined) => Array.fromAsync(log ?? []);
const textsOf = async (log: AsyncIterable<StoredEvent> | undefined) =>
  (await eventsOf(log)).flatMap((event) => (event.type === 'output' ? [event.text] : []));

describe('SessionStore', () => {
  test('creates a session that begins with its own and its customer’s name', async () => {
    const { sessionsPath, store } = await freshStore();
    await using log = await store.create(id);
    expect(await eventsOf(log.read())).toMatchObject([
      { v: 1, seq: 1, type: 'session.created', sessionId: 's1', customer: 'acme' },
    ]);
    expect((await stat(join(sessionsPath, 's1.jsonl'))).mode & 0o777).toBe(0o600);
  });

  test('opens a session while another one takes its time', async () => {
    const held = Promise.withResolvers<void>();
    const fences = [held.promise, undefined];
    const fence = async () => {
      await fences.shift();
      return { token: 1, assertHeld: () => {}, [Symbol.asyncDispose]: async () => {} };
    };
    const store = new SessionStore({ customer, sessionsPath: await temporaryFolder(), fence });
    const slow = store.create(id);
    await using _quick = await store.create();
    held.resolve();
    await using _slow = await slow;
    expect(await store.list()).toHaveLength(2);
  });

  test('makes up an id when it is given none', async () => {
    const { store } = await freshStore();
    await using log = await store.create();
    expect(await store.list()).toEqual([log.id]);
  });

  test('gives back every event as it was appended, also after it is opened again', async () => {
    const { store } = await freshStore();
    const events = SAMPLE_EVENTS.slice(1);
    const log = await store.create(id);
    const stored: StoredEvent[] = [];
    for (const event of events) stored.push(await log.append(event));
    expect(stored).toMatchObject(events.map((event, index) => ({ v: 1, seq: index + 2, ...event })));
    const written = await eventsOf(log.read());
    expect(written.slice(1)).toEqual(stored);
    await log.close();
    await using again = await store.open(id);
    expect(await eventsOf(again.read())).toEqual(written);
    expect(again.repaired).toBeUndefined();
    expect((await again.append({ type: 'session.closed' })).seq).toBe(written.length + 1);
  });

  test('creates no session twice, opens none that is not there, and does either when asked', async () => {
    const { sessionsPath, store } = await freshStore();
    await expect(store.open(id)).rejects.toMatchObject({ code: 'not_found', message: 'There is no session "s1"' });
    expect(await filesIn(sessionsPath)).toEqual([]);
    const log = await store.openOrCreate(id);
    await expect(store.create(id)).rejects.toMatchObject({ code: 'already_exists' });
    await log.close();
    await expect(store.create(id)).rejects.toMatchObject({ code: 'already_exists' });
    await using again = await store.openOrCreate(id);
    expect(await eventsOf(again.read())).toHaveLength(1);
  });

  test('opens a session whose creation was cut off, as a new one', async () => {
    const { sessionsPath, store } = await freshStore();
    await writeFile(join(sessionsPath, 's1.jsonl'), '{"v":1,"seq":1,"at":"20');
    await using log = await store.open(id);
    expect(log.repaired).toEqual({ droppedBytes: 23 });
    expect(await eventsOf(log.read())).toMatchObject([{ seq: 1, type: 'session.created' }]);
  });

  test('finds a session to read while another store writes to it, up to its last whole line', async () => {
    const { sessionsPath, store } = await freshStore();
    await using log = await store.create(id);
    const reader = new SessionStore({ customer, sessionsPath });
    expect(await reader.find(parseSessionId('other'))).toBeUndefined();
    const history = await reader.find(id);
    await log.append(output('one'));
    await appendFile(join(sessionsPath, 's1.jsonl'), '{"v":1,"seq":3,');
    expect(await textsOf(history)).toEqual(['one']);
  });

  test('lists the ids sorted, and nothing else that lies in the folder', async () => {
    const { sessionsPath, store } = await freshStore();
    const ids = [3, 1, 2].map((time) => newSessionId(time));
    for (const each of ids) await (await store.create(each)).close();
    await using _open = await store.create(parseSessionId('a'));
    for (const name of ['not an id.jsonl', '.hidden.jsonl', 'b.json']) await writeFile(join(sessionsPath, name), '');
    expect(await store.list()).toEqual(['a', ids[1], ids[2], ids[0]]);
  });

  test('says that its folder is missing, without naming it', async () => {
    const sessionsPath = join(await temporaryFolder(), 'missing');
    const store = new SessionStore({ customer, sessionsPath });
    for (const call of [() => store.list(), () => store.openOrCreate(id)]) {
      const failure: unknown = await call().catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: 'storage_failed' });
      expect((failure as Error).message).not.toContain(sessionsPath);
    }
  });

  test.each(['..', 'a/b', 'a\0b', '', 'x'.repeat(200), '../acme/s1'])(
    'refuses the id %j even when nobody checked it before',
    async (unchecked) => {
      const { sessionsPath, store } = await freshStore();
      const wrong = unchecked as SessionId;
      await expect(store.create(wrong)).rejects.toMatchObject({ code: 'invalid_argument' });
      await expect(store.open(wrong)).rejects.toMatchObject({ code: 'invalid_argument' });
      await expect(store.openOrCreate(wrong)).rejects.toMatchObject({ code: 'invalid_argument' });
      await expect(store.find(wrong)).rejects.toMatchObject({ code: 'invalid_argument' });
      expect(await filesIn(sessionsPath)).toEqual([]);
    },
  );

  test('follows no link in the place of a session', async () => {
    const { sessionsPath, store } = await freshStore();
    const target = join(await temporaryFolder(), 'target');
    await writeFile(target, '');
    await symlink(target, join(sessionsPath, 's1.jsonl'));
    await expect(store.open(id)).rejects.toMatchObject({ code: 'storage_failed' });
    await expect(eventsOf(await store.find(id))).rejects.toMatchObject({ code: 'storage_failed' });
    expect(await readFile(target, 'utf8')).toBe('');
  });
});

describe('a session that is shared', () => {
  test('has one order of events within a process, whoever appends', async () => {
    const { store } = await freshStore();
    const logs = await Promise.all([store.openOrCreate(id), store.openOrCreate(id), store.openOrCreate(id)]);
    const appended = await Promise.all(
      Array.from({ length: 300 }, (_, index) => (logs[index % 3] as SessionLog).append(output(String(index)))),
    );
    expect(appended.map((event) => event.seq)).toEqual(Array.from({ length: 300 }, (_, index) => index + 2));
    expect(await textsOf(logs[0]?.read())).toEqual(Array.from({ length: 300 }, (_, index) => String(index)));
    await Promise.all(logs.map((log) => log.close()));
  });

  test('stays open until the last handle is closed, each counted once', async () => {
    const { sessionsPath, store } = await freshStore();
    const elsewhere = new SessionStore({ customer, sessionsPath });
    const first = await store.openOrCreate(id);
    const second = await store.open(id);
    await Promise.all([first.close(), first.close()]);
    await first.close();
    await expect(first.append(output('late'))).rejects.toMatchObject({ code: 'invalid_state' });
    await second.append(output('kept'));
    await expect(elsewhere.open(id)).rejects.toMatchObject({ code: 'busy' });
    await second.close();
    await using third = await elsewhere.open(id);
    expect(await textsOf(third.read())).toEqual(['kept']);
  });

  test('writes what was appended before it is closed, also what waits for an earlier write', async () => {
    const { store } = await freshStore();
    const log = await store.create(id);
    const texts = Array.from({ length: 20 }, (_, index) => String(index));
    const appending: Promise<StoredEvent>[] = [];
    for (const text of texts) {
      appending.push(log.append(output(text)));
      await Promise.resolve();
    }
    await log.close();
    await Promise.all(appending);
    expect(await textsOf(await store.find(id))).toEqual(texts);
  });

  test('can be opened and closed by many at once', async () => {
    const { sessionsPath, store } = await freshStore();
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        await using log = await store.openOrCreate(id);
        await log.append(output(String(index)));
      }),
    );
    expect((await textsOf(await store.find(id))).map(Number).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 50 }, (_, index) => index),
    );
    expect(await filesIn(sessionsPath)).toEqual(['s1.jsonl']);
  });

  test('belongs to one process at a time, and the other learns which', async () => {
    const { sessionsPath, store } = await freshStore();
    const writer = startChild(new URL('./writer.ts', import.meta.url), [sessionsPath, id]);
    await nextLine(writer);
    await expect(store.open(id)).rejects.toMatchObject({ code: 'busy', details: { pid: writer.pid } });
    await writer.kill();
    await using log = await store.open(id);
    expect((await log.append(output('mine'))).seq).toBeGreaterThan(1);
  });
});

describe('a session after a crash', () => {
  test('has no start that cannot be found by its id, wherever in its course the process was killed', async () => {
    const moments = [1, 2, 3, 4].flatMap((count) => ['before', 'after'].map((when) => [String(count), when] as const));
    const starts = moments.map(async ([count, when]) => {
      const { sessionsPath, store } = await freshStore();
      await startChild(new URL('./killed-starter.ts', import.meta.url), [sessionsPath, id, count, when]).exit;
      const started = (await eventsOf(await store.find(id))).filter(({ type }) => type === 'execution.started');
      for (const { executionId } of started as { executionId: string }[])
        expect(await store.locate(parseExecutionId(executionId)), `${when} sync ${count}`).toMatchObject({
          session: id,
        });
      return started.length;
    });
    expect(Math.max(...(await Promise.all(starts)))).toBe(2);
  });

  test('has lost nothing that was acknowledged when its writer was killed', async () => {
    const { sessionsPath, store } = await freshStore();
    for (let round = 1; round <= 3; round++) {
      const writer = startChild(new URL('./writer.ts', import.meta.url), [sessionsPath, id]);
      let acknowledged = 0;
      for await (const line of writer.lines) {
        acknowledged = Number(line);
        // Lines that are still in the pipe were acknowledged too, so the loop goes on to their end.
        if (acknowledged >= round * 100) void writer.kill();
      }
      await writer.exit;
      await using log = await store.open(id);
      const events = await eventsOf(log.read());
      expect(events.length).toBeGreaterThanOrEqual(acknowledged);
      expect(acknowledged).toBeGreaterThanOrEqual(round * 100);
      expect((await log.append(output('after'))).seq).toBe(events.length + 1);
    }
  });

  test('is cut at its last whole line, wherever the last one was torn', async () => {
    const { sessionsPath, store } = await freshStore();
    const path = join(sessionsPath, 's1.jsonl');
    const log = await store.create(id);
    await log.append(output('first'));
    const whole = (await readFile(path)).length;
    await log.append(output('sécönd 🦀'));
    await log.close();
    const bytes = await readFile(path);
    for (let length = whole; length < bytes.length; length++) {
      await writeFile(path, bytes.subarray(0, length));
      await using again = await store.open(id);
      expect(again.repaired).toEqual(length === whole ? undefined : { droppedBytes: length - whole });
      expect((await again.append(output('third'))).seq).toBe(3);
      expect(await textsOf(again.read())).toEqual(['first', 'third']);
    }
    await writeFile(path, bytes);
    await using untouched = await store.open(id);
    expect(untouched.repaired).toBeUndefined();
    expect(await textsOf(untouched.read())).toEqual(['first', 'sécönd 🦀']);
  });

  test('is cut at the first page that the disk has lost, whatever follows it', async () => {
    const { sessionsPath, store } = await freshStore();
    const path = join(sessionsPath, 's1.jsonl');
    {
      await using log = await store.create(id);
      await log.append(output('first'));
    }
    const kept = await readFile(path);
    const index = await readFile(join(sessionsPath, '.index', 's1'));
    {
      await using log = await store.open(id);
      for (const text of ['a', 'b', 'c']) await log.append(output(text.repeat(6_000)));
    }
    const bytes = await readFile(path);
    for (const page of [1, 2, 3, 4]) {
      const left = Buffer.from(bytes).fill(0, page * 4_096, Math.min((page + 1) * 4_096, bytes.length - 1));
      const end = left.lastIndexOf('\n', page * 4_096) + 1;
      await writeFile(path, left);
      await writeFile(join(sessionsPath, '.index', 's1'), index);
      await using log = await store.open(id);
      expect(log.repaired, `page ${page}`).toEqual({ droppedBytes: bytes.length - end });
      const events = await eventsOf(log.read());
      expect(await readFile(path)).toEqual(bytes.subarray(0, end));
      expect(end).toBeGreaterThanOrEqual(kept.length);
      expect((await log.append(output('on'))).seq).toBe(events.length + 1);
      expect((await textsOf(log.read())).at(-1)).toBe('on');
    }
  });

  test('loses nothing that its index knows to be synced', async () => {
    const { sessionsPath, store } = await freshStore();
    const path = join(sessionsPath, 's1.jsonl');
    {
      await using log = await store.create(id);
      await log.append(output('x'.repeat(6_000)));
      await log.append({ type: 'session.closed' });
    }
    const damaged = (await readFile(path)).fill(0, 1_000, 2_000);
    await writeFile(path, damaged);
    await using log = await store.open(id);
    expect(log.repaired).toBeUndefined();
    expect(await readFile(path)).toEqual(damaged);
  });

  test('is cut where a crash left zeros', async () => {
    const { sessionsPath, store } = await freshStore();
    const path = join(sessionsPath, 's1.jsonl');
    await (await store.create(id)).close();
    await truncate(path, (await stat(path)).size + 4_096);
    await using log = await store.open(id);
    expect(log.repaired).toEqual({ droppedBytes: 4_096 });
    expect(await eventsOf(log.read())).toHaveLength(1);
  });
});

describe('a session that was damaged', () => {
  async function damaged(change: (lines: string[]) => string[]): Promise<SessionStore> {
    const { sessionsPath, store } = await freshStore();
    const log = await store.create(id);
    for (const text of ['a', 'b', 'c']) await log.append(output(text));
    await log.close();
    const path = join(sessionsPath, 's1.jsonl');
    await writeFile(
      path,
      change((await readFile(path, 'utf8')).trimEnd().split('\n'))
        .join('\n')
        .concat('\n'),
    );
    return store;
  }

  test.each([
    ['is not JSON', 'nope', 'Cannot read session "s1": line 2 is not JSON'],
    ['is not an event', '{"v":1}', 'Cannot read session "s1": line 2 is not a session event: seq: '],
  ])('names a line in the middle that %s, and can still be appended to', async (_, line, message) => {
    const store = await damaged((lines) => lines.with(1, line));
    await using log = await store.open(id);
    expect((await log.append(output('d'))).seq).toBe(5);
    await expect(eventsOf(log.read())).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringContaining(message),
    });
  });

  test.each([
    ['missing', (lines: string[]) => lines.toSpliced(1, 1)],
    ['repeated', (lines: string[]) => lines.toSpliced(1, 0, lines[1] ?? '')],
    ['moved', (lines: string[]) => [lines[0], lines[2], lines[1], lines[3]].map(String)],
  ])('names the place where a line is %s', async (_, change) => {
    const store = await damaged(change);
    await expect(eventsOf(await store.find(id))).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringMatching(/^Cannot read session "s1": line \d has the sequence number \d$/),
    });
  });

  test('is not opened when its last line is whole and is no event', async () => {
    const store = await damaged((lines) => lines.with(3, '{"v":1}'));
    await expect(store.open(id)).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringContaining('Cannot open session "s1": the last line is not a session event'),
    });
    await expect(store.open(id)).rejects.toMatchObject({ code: 'storage_failed' });
  });

  test('passes over what a later version wrote, and counts it', async () => {
    const store = await damaged((lines) => [
      ...lines.with(1, '{"v":2,"seq":2,"at":"later","type":"output"}'),
      '{"v":1,"seq":5,"at":"later","type":"tool.approved"}',
    ]);
    await using log = await store.open(id);
    expect((await log.append(output('d'))).seq).toBe(6);
    const history = log.read();
    expect(await textsOf(history)).toEqual(['b', 'c', 'd']);
    expect(history.skipped).toBe(2);
    expect(await textsOf(history)).toEqual(['b', 'c', 'd']);
    expect(history.skipped).toBe(2);
  });
});

describe('SessionLog.append()', () => {
  test('cuts what is too large, and says so', async () => {
    const { store } = await freshStore();
    await using log = await store.create(id);
    const stored = await log.append(output('x'.repeat(2 * 1024 * 1024)));
    expect(stored.truncated).toEqual(['text']);
    const [, read] = await eventsOf(log.read());
    expect(read?.truncated).toEqual(['text']);
    expect((await textsOf(log.read()))[0]?.length).toBe(1024 * 1024);
  });

  test('refuses what is not JSON, and goes on with the next event', async () => {
    const { store } = await freshStore();
    await using log = await store.create(id);
    const wrong = log.append({ type: 'checkpoint.set', step: 1, lastTask: null, context: { n: 1n } });
    const right = log.append(output('fine'));
    await expect(wrong).rejects.toMatchObject({ code: 'invalid_argument' });
    expect((await right).seq).toBe(2);
    expect(await textsOf(log.read())).toEqual(['fine']);
  });

  test('reports a disk that refuses, and refuses itself until the session is opened again', async () => {
    const { sessionsPath, store } = await freshStore();
    const filler = startLimited(new URL('./filler.ts', import.meta.url), [sessionsPath, id]);
    const { acknowledged, failures } = JSON.parse(await nextLine(filler));
    const refused = {
      code: 'storage_failed',
      message: 'Cannot write to session "s1": it failed with EFBIG',
    };
    expect(failures).toMatchObject([refused, refused]);
    expect(await filler.exit).toBe(0);
    await using log = await store.open(id);
    expect(log.repaired?.droppedBytes).toBeGreaterThan(0);
    expect(await eventsOf(log.read())).toHaveLength(acknowledged);
    expect((await log.append(output('more'))).seq).toBe(acknowledged + 1);
  });
});
