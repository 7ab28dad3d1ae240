import { createHash, randomBytes } from 'node:crypto';
import { access, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { Secret } from '../../../src/util/secret.ts';
import { tarEnd, tarFile, tarHeader } from '../../../src/util/tar-writer.ts';
import type { ExportSessionOptions } from '../../../src/workcell/export-session.ts';
import type { ImportSessionOptions } from '../../../src/workcell/import-session.ts';
import { createWorkcell, type Workcell } from '../../../src/workcell/workcell.ts';
import { type CellOptions, writeConfig } from '../../support/cell-config.ts';
import { recordExecution, recordStart } from '../../support/record-execution.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

const passphrase = new Secret('correct horse battery');
const s1 = parseSessionId('s1');

interface Host {
  readonly cell: Workcell;
  /** Of the customer's folder. */
  path(...names: readonly string[]): string;
  readonly store: SessionStore;
  exported(options?: ExportSessionOptions): Promise<Buffer>;
  imported(
    archive: Uint8Array,
    options?: ImportSessionOptions,
  ): ReturnType<ReturnType<Workcell['customer']>['importSession']>;
}

async function newHost(customer = 'acme', options: CellOptions = {}): Promise<Host> {
  const folder = await temporaryFolder();
  const cell = await createWorkcell({ config: await writeConfig(folder, options) });
  onTestFinished(() => cell.close());
  const path = (...names: readonly string[]) => join(folder, 'workspaces', customer, ...names);
  await cell.customer(customer).workspace();
  const key = cell.loaded.config.sessions.encryptionKey;
  const keys = { current: key, old: [] };
  return {
    cell,
    path,
    store: new SessionStore({ customer: parseCustomerId(customer), sessionsPath: path('sessions'), keys }),
    exported: async (given = {}) =>
      Buffer.concat(await Array.fromAsync(await cell.customer(customer).exportSession('s1', given))),
    imported: async (archive, given = {}) => cell.customer(customer).importSession(inChunks(archive), given),
  };
}

async function* inChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
}

/** A session with an execution, one that was cut off, a checkpoint, and files. */
async function fill(host: Host): Promise<void> {
  await using log = await host.store.create(s1);
  await recordExecution(log, 'e1', 'the first text', 'x'.repeat(900_000));
  await log.append({ type: 'checkpoint.set', step: 'halfway', lastTask: null, context: { rows: 3 } });
  await recordStart(log, 'e2');
  await mkdir(host.path('files', 'state'), { recursive: true });
  await writeFile(host.path('files', 'state', 'rows.json'), '[1,2,3]', { mode: 0o640 });
  await writeFile(host.path('files', 'large.bin'), randomBytes(5 * 1024 * 1024));
  await symlink('state/rows.json', host.path('files', 'link'));
  await symlink('/etc/passwd', host.path('files', 'outside'));
  await mkdir(host.path('skills', 'add'));
  await writeFile(host.path('skills', 'add', 'SKILL.md'), 'adds');
}

const eventsOf = async (host: Host, id = 's1') => Array.fromAsync((await host.store.find(parseSessionId(id))) ?? []);

/** What an import that failed may leave: nothing. */
async function assertUntouched(host: Host): Promise<void> {
  expect(await host.store.list()).toEqual([]);
  expect(await readdir(host.path('files'))).toEqual([]);
  expect((await readdir(host.path('sessions'))).filter((name) => name.includes('import'))).toEqual([]);
  expect(await readdir(host.path('.staging')).catch(() => [])).toEqual([]);
  expect(await host.store.locate(parseExecutionId('e1'))).toBeUndefined();
}

describe('a session that is exported and imported', () => {
  test('is the same on another host, with its files', async () => {
    const [from, to] = [await newHost('acme'), await newHost('other')];
    await fill(from);
    const skipped: string[] = [];
    const archive = await from.exported({ onSkipped: ({ path }) => skipped.push(path) });
    expect(await to.imported(archive)).toMatchObject({
      sessionId: 's1',
      from: { customer: 'acme', session: 's1' },
      events: 7,
      executions: 2,
      files: { files: 3, links: 1, skipped: [{ path: 'files/outside' }] },
    });
    expect(await eventsOf(to)).toEqual(await eventsOf(from));
    expect(await readFile(to.path('sessions', 's1.jsonl'))).toEqual(await readFile(from.path('sessions', 's1.jsonl')));
    expect(await readFile(to.path('sessions', '.index', 's1'))).toEqual(
      await readFile(from.path('sessions', '.index', 's1')),
    );
    for (const file of ['files/state/rows.json', 'files/large.bin', 'files/link', 'skills/add/SKILL.md'])
      expect(await readFile(to.path(file))).toEqual(await readFile(from.path(file)));
    await expect(access(to.path('files/outside'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await to.store.locate(parseExecutionId('e2'))).toMatchObject({ session: 's1' });
    const view = await to.cell.customer('other').session('s1');
    expect(view).toMatchObject({
      customer_uid: 'other',
      tasks: [{ task_id: 'e1' }, { task_id: 'e2', status: 'interrupted' }],
      state_files: ['state/rows.json'],
      checkpoint: { step: 'halfway', context: { rows: 3 } },
    });
    await using log = await to.store.open(s1);
    expect((await log.append({ type: 'session.closed' })).seq).toBe(8);
  });

  test('can do without its files', async () => {
    const [from, to] = [await newHost(), await newHost()];
    await fill(from);
    expect(await to.imported(await from.exported({ files: false }))).toMatchObject({ files: null });
    await to.cell.customer('acme').deleteSession('s1');
    expect(await to.imported(await from.exported(), { files: false })).toMatchObject({ files: null });
    expect(await readdir(to.path('files'))).toEqual([]);
    expect((await eventsOf(to)).length).toBe(7);
  });

  test('keeps its word on executions that were deleted: they are known again', async () => {
    const host = await newHost();
    await fill(host);
    const archive = await host.exported({ files: false });
    await host.cell.customer('acme').deleteSession('s1');
    expect(await host.store.locate(parseExecutionId('e1'))).toBe('gone');
    await host.imported(archive);
    expect(await host.store.locate(parseExecutionId('e1'))).toMatchObject({ session: 's1' });
  });

  test('replaces no session, and brings no execution a second time', async () => {
    const [from, to] = [await newHost(), await newHost()];
    await fill(from);
    const archive = await from.exported({ files: false });
    await to.imported(archive, { as: 'copy' });
    await (await to.store.create(s1)).close();
    await expect(to.imported(archive)).rejects.toMatchObject({
      code: 'already_exists',
      message: 'There already is a session "s1"',
    });
    await expect(to.imported(archive, { as: 's2' })).rejects.toMatchObject({
      code: 'already_exists',
      message: expect.stringContaining('"e1" of the archive is in session "copy" already'),
    });
    await expect(to.imported(archive, { as: '../s2' })).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(await to.store.list()).toEqual(['copy', 's1']);
  });

  test('brings no execution that has started, or was brought, while it was read', async () => {
    const [from, to] = [await newHost(), await newHost()];
    await fill(from);
    const archive = gunzipSync(await from.exported({ files: false }));
    const end = archive.indexOf('checksums.json');
    const imported = (id: string, meanwhile: () => Promise<unknown>) => {
      async function* slowly(): AsyncGenerator<Uint8Array> {
        yield archive.subarray(0, end);
        await meanwhile();
        yield archive.subarray(end);
      }
      return to.cell.customer('acme').importSession(slowly(), { as: id });
    };
    const recorded = imported('late', async () => {
      await using log = await to.store.create(parseSessionId('own'));
      await recordStart(log, 'e2');
    });
    await expect(recorded).rejects.toMatchObject({ code: 'already_exists', message: expect.stringContaining('"own"') });
    expect(await to.store.locate(parseExecutionId('e2'))).toMatchObject({ session: 'own' });
    expect(await to.store.list()).toEqual(['own']);
    await to.cell.customer('acme').deleteSession('own');

    const both = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const outcomes = await Promise.allSettled(
      both.map(({ resolve }, index) => {
        const wait = async () => {
          resolve();
          await Promise.all(both.map(({ promise }) => promise));
        };
        return imported(`s${index + 2}`, wait);
      }),
    );
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [only] = await to.store.list();
    expect(await to.store.list()).toEqual([only]);
    expect(await to.store.locate(parseExecutionId('e2'))).toMatchObject({ session: only });
  });

  test('finds the files again that an import has left that was killed, or that another session came with', async () => {
    const [from, to] = [await newHost(), await newHost()];
    await fill(from);
    const archive = await from.exported();
    await to.imported(archive);
    await to.cell.customer('acme').deleteSession('s1');
    expect(await to.imported(archive)).toMatchObject({ files: { files: 3, links: 1 } });
    for (const [name, change] of [
      ['files/state/rows.json', () => writeFile(to.path('files/state/rows.json'), '[1,2,4]')],
      ['files/link', () => rm(to.path('files/link')).then(() => symlink('state', to.path('files/link')))],
    ] as const) {
      await to.cell.customer('acme').deleteSession('s1');
      await change();
      const message = `There already is "${name}" in the workspace`;
      await expect(to.imported(archive)).rejects.toMatchObject({ code: 'already_exists', message });
      await to.imported(archive, { overwrite: true });
    }
  });

  test('replaces no file unless it may', async () => {
    const [from, to] = [await newHost(), await newHost()];
    await fill(from);
    const archive = await from.exported();
    await mkdir(to.path('files', 'state'));
    await writeFile(to.path('files', 'state', 'rows.json'), 'mine');
    await expect(to.imported(archive)).rejects.toMatchObject({
      code: 'already_exists',
      message: 'There already is "files/state/rows.json" in the workspace',
    });
    expect(await to.store.list()).toEqual([]);
    expect(await readdir(to.path('files'))).toEqual(['state']);
    await to.imported(archive, { overwrite: true });
    expect(await readFile(to.path('files', 'state', 'rows.json'), 'utf8')).toBe('[1,2,3]');
  });
});

describe('an encrypted session', () => {
  const encrypted = () => newHost('acme', { sessions: { encryptionKey: randomBytes(32).toString('hex') } });

  test('is exported encrypted, or plain when that is said, and is encrypted with the key of where it goes', async () => {
    const [from, to, open] = [await encrypted(), await encrypted(), await newHost()];
    await fill(from);
    await expect(from.exported()).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('passphrase'),
    });
    const archive = await from.exported({ passphrase });
    await expect(to.imported(archive)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('give its passphrase'),
    });
    await expect(to.imported(archive, { passphrase: new Secret('wrong wrong') })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('the passphrase is wrong'),
    });
    // Somebody may have put another in its place.
    await expect(to.imported(await from.exported({ plain: true }), { passphrase })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('it is not encrypted'),
    });
    await to.imported(archive, { passphrase });
    expect(await eventsOf(to)).toEqual(await eventsOf(from));
    expect(await readFile(to.path('sessions', 's1.jsonl'), 'utf8')).not.toContain('the first text');
    await open.imported(await from.exported({ plain: true }));
    expect(await eventsOf(open)).toEqual(await eventsOf(from));
  });

  test('is refused when its archive was changed or cut anywhere', async () => {
    const [from, to] = [await newHost(), await newHost()];
    await fill(from);
    const archive = await from.exported({ passphrase });
    for (const at of [40, 70_000, archive.length - 1]) {
      const changed = Buffer.from(archive);
      changed[at] = (changed[at] ?? 0) ^ 1;
      await expect(to.imported(changed, { passphrase }), `byte ${at}`).rejects.toMatchObject({
        code: 'invalid_argument',
      });
    }
    // Also where a whole piece is missing.
    for (const length of [archive.length - 1, 34 + 65_552, 34 + 2 * 65_552, 34, 10]) {
      const cut = archive.subarray(0, length);
      await expect(to.imported(cut, { passphrase }), `${length} bytes`).rejects.toMatchObject({
        code: 'invalid_argument',
      });
    }
    await assertUntouched(to);
  });
});

function sumOf(bytes: Buffer): object {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

describe('an archive from a stranger', () => {
  const now = new Date(0);
  const json = (path: string, value: unknown) => tarFile(path, JSON.stringify(value), now);
  const head = {
    format: 'workcell-session',
    version: 1,
    customer: 'acme',
    session: 's1',
    exportedAt: '2026-01-01T00:00:00.000Z',
    workspace: false,
  };

  test('is refused when it is damaged or cut anywhere, and leaves nothing', async () => {
    const [from, to] = [await newHost(), await newHost()];
    await fill(from);
    const plain = gunzipSync(await from.exported());
    for (const part of [0.1, 0.3, 0.5, 0.9, 0.999]) {
      const cut = plain.subarray(0, Math.floor((plain.length - 2048) * part));
      await expect(to.imported(cut), `${part}`).rejects.toMatchObject({ code: 'invalid_argument' });
    }
    for (const text of ['the first text', 'halfway', '[1,2,3]', '"events":7']) {
      const changed = Buffer.from(plain);
      const at = changed.indexOf(text);
      expect(at, text).toBeGreaterThan(0);
      changed[at + text.length - 1] = (changed[at + text.length - 1] ?? 0) ^ 1;
      await expect(to.imported(changed), text).rejects.toMatchObject({ code: 'invalid_argument' });
    }
    await assertUntouched(to);
  });

  const created = {
    v: 1,
    seq: 1,
    at: '2026-01-01T00:00:00.000Z',
    type: 'session.created',
    sessionId: 's1',
    customer: 'acme',
  };
  const output = { v: 1, seq: 2, at: created.at, type: 'output', executionId: 'e1', stream: 'stdout', text: 'x' };
  const started = {
    ...output,
    type: 'execution.started',
    executionId: '../e1',
    task: null,
    language: 'typescript',
    program: '',
    planner: 'none',
    selection: { mode: 'none', considered: 0, tools: [], noMatch: null },
  };
  const begun = { ...started, executionId: 'e1' };
  const called = { ...output, seq: 3, type: 'tool.called', call: 1, server: 's', tool: 't', arguments: {} };
  const returned = { type: 'tool.returned', ok: true, ms: 1, value: 1 };
  const asked = { type: 'approval.requested', approvalId: 'apr_e1_1' };
  const lines = (...events: readonly unknown[]) => events.map((event) => `${JSON.stringify(event)}\n`).join('');
  const logOf = (text: string) => [json('session.json', head), tarFile('log/000001', text, now)];

  test.each([
    ['is no archive', [Buffer.from('hello')], 'it ends in the middle'],
    ['is empty', [], 'session.json is not where'],
    ['begins with another file', [json('other.json', head)], 'session.json is not where'],
    ['is of another format', [json('session.json', { ...head, format: 'other' })], 'session.json is not what'],
    ['is of a later version', [json('session.json', { format: head.format, version: 2 })], 'later version'],
    ['has a session id that leads elsewhere', [json('session.json', { ...head, session: '../s1' })], 'is not valid'],
    ['has no log', [json('session.json', head)], 'does not end with a whole line'],
    ['has a log that is not JSON', logOf('hello\n'), 'line 1 is not JSON'],
    ['has a log that is no session', logOf(lines({ ...output, seq: 1 })), 'line 1 is a output'],
    ['has a log that begins twice', logOf(lines(created, { ...created, seq: 2 })), 'line 2 is a session.created'],
    ['has a gap in its log', logOf(lines(created, { ...output, seq: 3 })), 'has the sequence number 3'],
    ['has an event that is none', logOf(lines(created, { ...output, text: 5 })), 'line 2 is not a session event'],
    ['has an event of a later version', logOf(lines(created, { ...output, v: 2 })), 'from a later version'],
    ['starts an execution twice', logOf(lines(created, begun, { ...begun, seq: 3 })), 'starts "e1" a second time'],
    ['has an execution that did not start', logOf(lines(created, output)), 'has not started'],
    [
      'has an answer to no call',
      logOf(lines(created, begun, { ...called, ...returned })),
      'call 1, which was not made',
    ],
    ['has a call without a number', logOf(lines(created, begun, { ...called, call: 0 })), 'without a number'],
    [
      'asks for an approval that is not its own',
      logOf(lines(created, begun, called, { ...called, seq: 4, ...asked, approvalId: 'apr_e2_1' })),
      'an approval of another execution',
    ],
    ['has an execution that no id can be', logOf(lines(created, started)), 'is not valid'],
    ['ends in the middle of a line', logOf(lines(created).slice(0, -1)), 'whole line'],
    ['has no sums', logOf(lines(created)), 'checksums.json is not where'],
    [
      'has wrong sums',
      [
        ...logOf(lines(created)),
        json('checksums.json', { events: 1, log: { bytes: 1, sha256: '0'.repeat(64) }, workspace: null }),
      ],
      'its log is not what was exported',
    ],
    [
      'has a link in the place of its log',
      [
        json('session.json', head),
        tarHeader({ path: 'log/000001', type: 'link', target: '/etc/passwd', mode: 0o777, modifiedAt: now }),
      ],
      'whole line',
    ],
  ] as const)('is refused when it %s', async (_, entries, reason) => {
    const to = await newHost();
    const archive = Buffer.concat([...entries, ...(entries[0]?.length === 5 ? [] : [tarEnd()])]);
    await expect(to.imported(archive)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(reason),
    });
    await assertUntouched(to);
  });

  test.each([
    ['leads out of the workspace', tarFile('files/../../escaped', 'x', now), 'files/../../escaped'],
    ['is absolute', tarFile('/etc/escaped', 'x', now), '/etc/escaped'],
    ['lies where no program looks', tarFile('sessions/s9.jsonl', 'x', now), 'sessions'],
    [
      'goes through a link',
      Buffer.concat([
        tarHeader({ path: 'files/a', type: 'link', target: 'b', mode: 0o777, modifiedAt: now }),
        tarFile('files/a/x', 'x', now),
      ]),
      'files/a/x',
    ],
  ])('is refused for a file that %s', async (_, entry, name) => {
    const [from, to] = [await newHost(), await newHost()];
    await fill(from);
    // All else is as it has to be.
    const [log, tree] = [await readFile(from.path('sessions', 's1.jsonl')), Buffer.concat([entry, tarEnd()])];
    const archive = Buffer.concat([
      json('session.json', { ...head, workspace: true }),
      tarFile('log/000001', log, now),
      tarFile('workspace/000001', tree, now),
      json('checksums.json', { events: 7, log: sumOf(log), workspace: sumOf(tree) }),
      tarEnd(),
    ]);
    await expect(to.imported(archive)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(name),
    });
    await assertUntouched(to);
  });

  const archiveOf = (...events: readonly unknown[]) => {
    const log = Buffer.from(lines(...events));
    const sums = { events: events.length, log: sumOf(log), workspace: null };
    return Buffer.concat([...logOf(lines(...events)), json('checksums.json', sums), tarEnd()]);
  };

  test('brings no tokens of the servers that wrote it, which would keep others out for ever', async () => {
    const to = await newHost();
    await to.imported(archiveOf({ ...created, lease: 900 }, { ...begun, lease: 800 }));
    expect((await eventsOf(to)).map(({ lease }) => lease)).toEqual([undefined, undefined]);
  });

  test.each([
    ['plain', {}],
    ['encrypted', { sessions: { encryptionKey: randomBytes(32).toString('hex') } }],
  ])('is refused for values that are too deep to be written, where logs are %s', async (_, options) => {
    const to = await newHost('acme', options);
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    const text = lines(created, begun, { ...called, arguments: 'DEEP' }).replace('"DEEP"', deep);
    const archive = Buffer.concat([...logOf(text), tarEnd()]);
    await expect(to.imported(archive)).rejects.toMatchObject({ code: 'invalid_argument' });
    await assertUntouched(to);
  });

  test('is refused when its log is larger than a session may be', async () => {
    const [from, to] = [await newHost(), await newHost('acme', { sessions: { maxSize: '200K' } })];
    await fill(from);
    await expect(to.imported(await from.exported())).rejects.toMatchObject({ code: 'storage_full' });
    await assertUntouched(to);
  });
});
