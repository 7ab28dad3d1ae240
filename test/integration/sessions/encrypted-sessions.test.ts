import { randomBytes } from 'node:crypto';
import { appendFile, copyFile, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import type { StoredEvent } from '../../../src/sessions/events.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { Secret } from '../../../src/util/secret.ts';
import { recordExecution } from '../../support/record-execution.ts';
import { SAMPLE_EVENTS } from '../../unit/sessions/sample-events.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

const acme = parseCustomerId('acme');
const [s1, s2] = [parseSessionId('s1'), parseSessionId('s2')];
const newKey = () => new Secret(randomBytes(32).toString('base64'));
const key = newKey();

const storeWith = (sessionsPath: string, current: Secret | undefined, ...old: Secret[]) =>
  new SessionStore({ customer: acme, sessionsPath, keys: { current, old } });
const eventsOf = async (store: SessionStore, id = s1): Promise<readonly StoredEvent[]> =>
  await Array.fromAsync((await store.find(id)) ?? []);
const textsOf = (events: readonly StoredEvent[]) => events.flatMap((event) => ('text' in event ? [event.text] : []));
const pathOf = (folder: string, id = 's1') => join(folder, `${id}.jsonl`);

/** Lines 1 to 8 of a session: its beginning, three executions, in it the texts one to three. */
async function encrypted(): Promise<string> {
  const folder = await temporaryFolder();
  await using log = await storeWith(folder, key).create(s1);
  for (const text of ['one', 'two', 'three']) await recordExecution(log, `e-${text}`, text);
  return folder;
}

async function changeLines(path: string, change: (lines: readonly string[]) => readonly string[]): Promise<void> {
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  await writeFile(path, `${change(lines).join('\n')}\n`);
}

const swap = (lines: readonly string[], a: number, b: number) => lines.with(a, lines[b] ?? '').with(b, lines[a] ?? '');
const edit = (line: string | undefined, change: object) => JSON.stringify({ ...JSON.parse(line ?? ''), ...change });

describe('an encrypted session', () => {
  test('gives back every event, and shows nothing but its order and which key it takes', async () => {
    const folder = await temporaryFolder();
    const log = await storeWith(folder, key).create(s1);
    for (const event of SAMPLE_EVENTS.slice(1)) await log.append(event);
    await log.close();
    const events = await eventsOf(storeWith(folder, key));
    expect(events.slice(1)).toMatchObject(SAMPLE_EVENTS.slice(1));
    const lines = (await readFile(pathOf(folder), 'utf8')).trimEnd().split('\n');
    for (const [index, line] of lines.entries()) {
      expect(Object.keys(JSON.parse(line))).toEqual(['v', 'seq', 'key', 'sealed']);
      expect(JSON.parse(line)).toMatchObject({ v: 1, seq: index + 1, key: expect.stringMatching(/^[0-9a-f]{8}$/) });
    }
    expect(new Set(lines.map((line) => JSON.parse(line).sealed.slice(0, 16))).size).toBe(lines.length);
  });

  test('has an index, and can be found by its executions', async () => {
    const folder = await encrypted();
    const names = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    for (const { parentPath, name } of names) {
      const content = await readFile(join(parentPath, name), 'latin1');
      for (const secret of ['return 1', 'stdout', '"one"']) expect(content, name).not.toContain(secret);
    }
    const store = storeWith(folder, key);
    expect(textsOf(await Array.fromAsync(store.readExecution(parseExecutionId('e-two'))))).toEqual(['two']);
    await rm(join(folder, '.index'), { recursive: true });
    const again = storeWith(folder, key);
    expect(textsOf(await Array.fromAsync(again.readExecution(parseExecutionId('e-two'))))).toEqual(['two']);
  });

  const changes: readonly (readonly [string, (lines: readonly string[]) => readonly string[]])[] = [
    ['two lines have changed places', (lines) => swap(lines, 2, 5)],
    [
      'two lines have changed places, numbers and all',
      (lines) => swap(lines, 2, 5).map((line, i) => edit(line, { seq: i + 1 })),
    ],
    ['a line is missing', (lines) => lines.toSpliced(3, 1)],
    [
      'a line is missing, and the rest renumbered',
      (lines) => lines.toSpliced(3, 1).map((line, i) => edit(line, { seq: i + 1 })),
    ],
    ['a line is there twice', (lines) => lines.toSpliced(3, 0, lines[2] ?? '')],
    ['one bit of a line is another', (lines) => lines.with(3, edit(lines[3], { sealed: flipped(lines[3]) }))],
    [
      'a line is cut short',
      (lines) => lines.with(3, edit(lines[3], { sealed: JSON.parse(lines[3] ?? '').sealed.slice(0, -8) })),
    ],
    ['a line is empty', (lines) => lines.with(3, edit(lines[3], { sealed: '' }))],
    ['a line is not encrypted', (lines) => lines.with(3, plain(4))],
  ];

  test.each(changes)('is refused where %s', async (_, change) => {
    const folder = await encrypted();
    await changeLines(pathOf(folder), change);
    await expect(eventsOf(storeWith(folder, key))).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringMatching(
        /^Cannot read session "s1": line \d+ (was changed|is not encrypted|has the sequence)/,
      ),
    });
  });

  test('takes no line that is not encrypted, wherever its index leads', async () => {
    const folder = await encrypted();
    const store = storeWith(folder, key);
    const place = await store.locate(parseExecutionId('e-two'));
    const { start } = place as { start: number };
    const bytes = await readFile(pathOf(folder));
    const end = bytes.indexOf('\n', start);
    const forged = JSON.stringify({ ...JSON.parse(plain(5)), type: 'execution.started', executionId: 'e-two' });
    await writeFile(
      pathOf(folder),
      Buffer.concat([bytes.subarray(0, start), Buffer.from(forged.padEnd(end - start)), bytes.subarray(end)]),
    );
    await expect(storeWith(folder, key).locate(parseExecutionId('e-two'))).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringContaining('is not encrypted as those before it'),
    });
  });

  test('takes no lines of another session or customer', async () => {
    const folder = await encrypted();
    await copyFile(pathOf(folder), pathOf(folder, 's2'));
    await expect(eventsOf(storeWith(folder, key), s2)).rejects.toMatchObject({ code: 'storage_failed' });
    const other = new SessionStore({
      customer: parseCustomerId('other'),
      sessionsPath: folder,
      keys: { current: key, old: [] },
    });
    await expect(eventsOf(other)).rejects.toMatchObject({ code: 'storage_failed' });
    await expect(other.open(s1)).rejects.toMatchObject({ code: 'storage_failed' });
  });

  test('says which key is missing, where, and what to do, and is not written to without it', async () => {
    const folder = await encrypted();
    const wrong = storeWith(folder, newKey());
    for (const store of [wrong, storeWith(folder, undefined)]) {
      await expect(eventsOf(store)).rejects.toMatchObject({ code: 'invalid_config' });
      await expect(store.open(s1)).rejects.toMatchObject({ code: 'invalid_config' });
      await expect(store.locate(parseExecutionId('e-two'))).rejects.toMatchObject({ code: 'invalid_config' });
    }
    await expect(eventsOf(wrong)).rejects.toThrow(
      /^Session "s1" is encrypted with the key [0-9a-f]{8}, and the keys that are configured are [0-9a-f]{8}; add that one to sessions.oldKeys$/,
    );
    await expect(eventsOf(storeWith(folder, undefined))).rejects.toThrow(
      /(no key is configured; set sessions.encryptionKey)$/,
    );
  });

  test('can be deleted when its key is lost, with its index or without', async () => {
    for (const lost of [[], ['.index'], ['.index', '.executions']]) {
      const folder = await encrypted();
      for (const name of lost) await rm(join(folder, name), { recursive: true });
      const store = storeWith(folder, newKey());
      await store.remove(s1);
      expect(await store.list()).toEqual([]);
      if (lost.length < 2) expect(await store.locate(parseExecutionId('e-two'))).toBe('gone');
    }
  });

  test('goes on with a new key, and needs the old one for what is before', async () => {
    const folder = await encrypted();
    const next = newKey();
    const log = await storeWith(folder, next, key).open(s1);
    await recordExecution(log, 'e-four', 'four');
    await log.close();
    expect(textsOf(await eventsOf(storeWith(folder, next, key)))).toEqual(['one', 'two', 'three', 'four']);
    await expect(eventsOf(storeWith(folder, next))).rejects.toMatchObject({ code: 'invalid_config' });
    // Without a current key nothing is encrypted, so such a log cannot go on.
    await expect(storeWith(folder, undefined, key, next).open(s1)).rejects.toMatchObject({
      code: 'invalid_config',
      message: expect.stringContaining('no key to go on with'),
    });
  });

  test('goes on from a log that is not encrypted, and never back', async () => {
    const folder = await temporaryFolder();
    await using before = await storeWith(folder, undefined).create(s1);
    await recordExecution(before, 'e1', 'plain');
    await before.close();
    const log = await storeWith(folder, key).open(s1);
    await recordExecution(log, 'e2', 'sealed');
    await log.close();
    expect(textsOf(await eventsOf(storeWith(folder, key)))).toEqual(['plain', 'sealed']);
    await appendFile(pathOf(folder), `${plain(8)}\n`);
    await expect(eventsOf(storeWith(folder, key))).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringContaining('line 8 is not encrypted as those before it'),
    });
  });

  test('loses a last line that was not written to its end, and nothing else', async () => {
    const folder = await encrypted();
    const whole = await readFile(pathOf(folder));
    await truncate(pathOf(folder), whole.length - 20);
    await using log = await storeWith(folder, key).open(s1);
    expect(log.repaired?.droppedBytes).toBeGreaterThan(0);
    expect(textsOf(await eventsOf(storeWith(folder, key)))).toEqual(['one', 'two', 'three']);
    await recordExecution(log, 'e-four', 'four');
    expect(textsOf(await eventsOf(storeWith(folder, key)))).toEqual(['one', 'two', 'three', 'four']);
  });

  test('keeps an event as large as any', async () => {
    const folder = await temporaryFolder();
    const store = storeWith(folder, key);
    await using log = await store.create(s1);
    const text = '\0'.repeat(1024 * 1024);
    await recordExecution(log, 'e1', text);
    expect(textsOf(await eventsOf(store))).toEqual([text]);
  });

  test.each(['', 'short', 'g'.repeat(64), randomBytes(31).toString('base64'), randomBytes(33).toString('hex')])(
    'takes no key such as %j',
    async (text) => {
      await expect(storeWith(await temporaryFolder(), new Secret(text)).create(s1)).rejects.toMatchObject({
        code: 'invalid_config',
        message: expect.stringContaining('openssl rand -base64 32'),
      });
    },
  );

  test('takes the same key as hex and as base64', async () => {
    const folder = await encrypted();
    const hex = new Secret(Buffer.from(key.reveal(), 'base64').toString('hex'));
    expect(textsOf(await eventsOf(storeWith(folder, hex)))).toEqual(['one', 'two', 'three']);
  });
});

function plain(seq: number): string {
  const event = {
    v: 1,
    seq,
    at: '2026-01-01T00:00:00.000Z',
    type: 'output',
    executionId: 'e1',
    stream: 'stdout',
    text: 'x',
  };
  return JSON.stringify(event);
}

function flipped(line: string | undefined): string {
  const bytes = Buffer.from(JSON.parse(line ?? '').sealed, 'base64');
  bytes[20] = (bytes[20] ?? 0) ^ 1;
  return bytes.toString('base64');
}
