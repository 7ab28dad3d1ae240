// Sessions on the command line, as far as that takes no sandbox.
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseCustomerId, parseSessionId } from '../../src/core/ids.ts';
import { SessionStore } from '../../src/sessions/session-store.ts';
import { Secret } from '../../src/util/secret.ts';
import { temporaryFolder } from '../integration/util/temporary-folder.ts';
import { writeConfig } from '../support/cell-config.ts';
import { cli } from '../support/cli.ts';
import { recordExecution } from '../support/record-execution.ts';

const key = randomBytes(32).toString('base64');
const DAY_MS = 86_400_000;
let folder: string;

const workcell = (...args: readonly string[]) => cli(['session', ...args], { cwd: folder });
const json = async (...args: readonly string[]) => JSON.parse((await workcell(...args, '--json')).stdout);
const logPath = (customer: string, id: string) => join(folder, 'workspaces', customer, 'sessions', `${id}.jsonl`);

beforeEach(async () => {
  folder = await temporaryFolder();
  await writeConfig(folder, { sessions: { encryptionKey: key, retention: '90d' } });
  for (const id of ['old', 'recent']) {
    await mkdir(join(folder, 'workspaces/ann/sessions'), { recursive: true });
    const sessionsPath = join(folder, 'workspaces/ann/sessions');
    const keys = { current: new Secret(key), old: [] };
    await using log = await new SessionStore({ customer: parseCustomerId('ann'), sessionsPath, keys }).create(
      parseSessionId(id),
    );
    await recordExecution(log, `exe-${id}`, 'secret text');
  }
});

describe('workcell session export and import', () => {
  it('move a session by a file, or through a pipe, encrypted unless that is not wanted', async () => {
    await writeFile(join(folder, 'phrase'), 'a passphrase\n');
    const ann = ['--customer', 'ann'];
    expect(await workcell('export', 'recent', ...ann)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('give a passphrase'),
    });
    expect(await workcell('export', 'recent', ...ann, '--passphrase-file', 'phrase')).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringMatching(/^Wrote recent\.session\.tgz, /m),
    });
    expect(await workcell('export', 'recent', ...ann, '--passphrase-file', 'phrase')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('already is a file'),
    });
    expect((await readFile(join(folder, 'recent.session.tgz'))).subarray(0, 18).toString()).toBe('workcell-sealed-1\n');
    const to = ['recent.session.tgz', '--customer', 'bob'];
    expect(await workcell('import', ...to)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('its passphrase'),
    });
    expect(await json('import', ...to, '--passphrase-file', 'phrase', '--as', 'mine')).toMatchObject({
      sessionId: 'mine',
      executions: 1,
      from: { customer: 'ann', session: 'recent' },
    });
    expect(await json('show', 'mine', '--customer', 'bob')).toMatchObject({ tasks: [{ output: 'secret text' }] });
    expect(await readFile(logPath('bob', 'mine'), 'utf8')).not.toContain('secret');
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);

    expect(await json('export', 'recent', ...ann, '--plain', '-o', 'plain.tgz')).toMatchObject({ file: 'plain.tgz' });
    expect(await workcell('import', 'plain.tgz', '--customer', 'carl', '--no-files')).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^Imported session recent of carl: 1 executions, 4 events$/m),
    });
    expect(await workcell('import', 'none.tgz')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('"none.tgz"'),
    });
  });
});

describe('workcell session prune', () => {
  it('deletes what is older than the configuration lets it get, and says what it would delete', async () => {
    const old = new Date(Date.now() - 91 * DAY_MS);
    await utimes(logPath('ann', 'old'), old, old);
    expect(await workcell('prune', '--dry-run')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^ann old \d{4}-\S+Z\n$/),
      stderr: expect.stringContaining('Would delete 1 sessions'),
    });
    expect(await json('list', '--customer', 'ann')).toEqual(['old', 'recent']);
    expect(await json('prune')).toMatchObject({
      customer: 'ann',
      deleted: [{ sessionId: 'old' }],
      kept: [],
      problem: null,
    });
    expect(await json('list', '--customer', 'ann')).toEqual(['recent']);
  });
});
