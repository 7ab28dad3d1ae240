import { mkdir, readdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { newSessionId, parseSessionId } from '../../../src/core/ids.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { CredentialStore } from '../../../src/upstream/credential-store.ts';
import { Secret } from '../../../src/util/secret.ts';
import { tarEnd, tarFile } from '../../../src/util/tar-writer.ts';
import { createWorkcell } from '../../../src/workcell/workcell.ts';
import { type CellOptions, writeConfig } from '../../support/cell-config.ts';
import { cli } from '../../support/cli.ts';
import { recordExecution, recordStart } from '../../support/record-execution.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const DAY = 24 * 60 * 60_000;

async function makeCell(options: CellOptions = {}) {
  const folder = await tempFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const config = await writeConfig(folder.path, options);
  const cell = await createWorkcell({ config, env: {} });
  onTestFinished(() => cell.close());
  return { cell, config, root: join(folder.path, 'workspaces'), folder: folder.path };
}

type Cell = Awaited<ReturnType<typeof makeCell>>['cell'];

async function fill(cell: Cell, id: string): Promise<string> {
  const customer = cell.customer(id);
  await customer.files.write('data/a', 'a');
  const workspace = await customer.workspace();
  await symlink('/usr/bin/python3', join(workspace.filesPath, 'python'));
  await workspace.skills.writeFile('greet/SKILL.md', '# greet');
  await customer.snapshots.create();
  const session = newSessionId();
  await using log = await new SessionStore(workspace).create(session);
  await log.append({ type: 'checkpoint.set', step: 'one', lastTask: null, context: { n: 1 } });
  return session;
}

/** As if nothing had been done with the customer for so long. */
async function age(root: string, id: string, days: number): Promise<void> {
  const at = new Date(Date.now() - days * DAY);
  for (const name of ['.used', 'files', 'sessions']) await utimes(join(root, id, name), at, at);
  for (const name of await readdir(join(root, id, 'sessions'))) await utimes(join(root, id, 'sessions', name), at, at);
}

const exported = async (cell: Cell, id: string) => Buffer.concat(await Array.fromAsync(await cell.exportCustomer(id)));

async function* one(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

describe('a whole customer', () => {
  test('takes with it which executions have run, also those whose session was deleted', async () => {
    const [from, to] = [await makeCell(), await makeCell()];
    const workspace = await from.cell.customer('acme').workspace();
    for (const [session, execution] of [
      ['kept', 'e-kept'],
      ['deleted', 'e-deleted'],
    ] as const) {
      await using log = await new SessionStore(workspace).create(parseSessionId(session));
      await recordExecution(log, execution, 'text');
    }
    await from.cell.customer('acme').deleteSession('deleted');
    await to.cell.importCustomer('acme', one(await exported(from.cell, 'acme')));
    const customer = to.cell.customer('acme');
    expect(await customer.executionSummary('e-kept')).toMatchObject({ state: 'completed' });
    await expect(customer.executionSummary('e-deleted')).rejects.toMatchObject({ code: 'history_gone' });
    await expect(customer.executionSummary('e-never')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('is exported from one place and imported at another, where its sessions open', async () => {
    const [from, to] = [await makeCell(), await makeCell()];
    const session = await fill(from.cell, 'acme');
    const archive = await exported(from.cell, 'acme');
    expect(await to.cell.importCustomer('acme', one(archive))).toMatchObject({ files: 3, links: 1 });
    const customer = to.cell.customer('acme');
    expect((await customer.files.list({ recursive: true })).entries.map(({ path }) => path)).toEqual([
      'data',
      'data/a',
      'python',
    ]);
    expect(await readFile(join(to.root, 'acme/skills/greet/SKILL.md'), 'utf8')).toBe('# greet');
    expect((await customer.session(session)).checkpoint).toMatchObject({ step: 'one', context: { n: 1 } });
    await expect(to.cell.importCustomer('acme', one(archive))).rejects.toMatchObject({ code: 'already_exists' });
    await expect(to.cell.importCustomer('other', one(archive))).rejects.toThrow('import it as that one');
    await expect(to.cell.exportCustomer('nobody')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('an import that is refused or cut off leaves nothing, and can be repeated', async () => {
    const [from, to] = [await makeCell(), await makeCell()];
    await fill(from.cell, 'acme');
    const archive = await exported(from.cell, 'acme');
    const head = tarFile('workcell-customer.json', JSON.stringify({ format: 1, customer: 'acme' }), new Date());
    const refused = [
      archive.subarray(0, archive.length - 2048),
      Buffer.concat([head, tarFile('keys.json', '{}', new Date()), tarEnd()]),
      Buffer.concat([head, tarFile('sessions/../../x.jsonl', '', new Date()), tarEnd()]),
      Buffer.concat([head, tarFile('files/../sessions/x', '', new Date()), tarEnd()]),
      tarEnd(),
    ];
    for (const bytes of refused)
      await expect(to.cell.importCustomer('acme', one(bytes))).rejects.toMatchObject({ code: 'invalid_argument' });
    expect((await readdir(to.root)).filter((name) => !name.startsWith('.'))).toEqual(['acme']);
    expect(await readdir(join(to.root, 'acme/sessions'))).toEqual([]);
    // As a process that was killed in the middle leaves it.
    await mkdir(join(to.root, 'acme/.importing'));
    await writeFile(join(to.root, 'acme/sessions/half.jsonl'), '');
    await writeFile(join(to.root, 'acme/files/half'), '');
    await to.cell.importCustomer('acme', one(archive));
    expect((await readdir(join(to.root, 'acme/files'))).sort()).toEqual(['data', 'python']);
    expect(await to.cell.customer('acme').listSessions()).toHaveLength(1);
  });

  test('is known at once to a server that has looked at it before, with the calls that wait to be approved', async () => {
    const [from, to] = [await makeCell(), await makeCell()];
    await using log = await new SessionStore(await from.cell.customer('acme').workspace()).create();
    await recordStart(log, 'e-waits');
    const approval = { executionId: 'e-waits', call: 1, approvalId: 'apr_e-waits_1' };
    await log.append({ type: 'approval.requested', ...approval, server: 'bank', tool: 'pay', arguments: {} });
    const archive = await exported(from.cell, 'acme');
    await using other = await createWorkcell({ config: to.config, env: {} });
    const customers = [to.cell, other].map((cell) => cell.customer('acme'));
    for (const customer of customers) {
      await customer.workspace();
      await expect(customer.executionSummary('e-waits')).rejects.toMatchObject({ code: 'not_found' });
    }
    await to.cell.importCustomer('acme', one(archive));
    for (const customer of customers) {
      expect(await customer.executionSummary('e-waits')).toMatchObject({ state: 'paused' });
      expect(await customer.listApprovals()).toMatchObject([{ approvalId: approval.approvalId }]);
    }
  });

  test.each([false, true])('that was removed is a new one to every server (on shared storage: %s)', async (shared) => {
    const { cell, config } = await makeCell(shared ? { workspace: { shared } } : {});
    await using other = await createWorkcell({ config, env: {} });
    const was = other.customer('acme');
    await was.files.write('a', 'a');
    const session = await was.createSession();
    // Another server has the customer when this one lets it go.
    if (shared) await other.close();
    await cell.customer('acme').files.write('b', 'b');
    await cell.removeCustomer('acme');
    for (const customer of [cell.customer('acme'), ...(shared ? [] : [was])]) {
      expect([await customer.exists(), await customer.listSessions(), await customer.listApprovals()]).toEqual([
        false,
        [],
        [],
      ]);
      await expect(customer.session(session)).rejects.toMatchObject({ code: 'not_found' });
      await customer.files.write('c', 'c');
      const made = await customer.createSession();
      expect(await customer.listSessions()).toEqual([made]);
      expect((await customer.files.list()).entries.map(({ path }) => path)).toEqual(['c']);
      expect((await customer.usage()).cpuSecondsPerDay).toMatchObject({ used: 0 });
      await cell.removeCustomer('acme');
    }
  });

  test('goes when it was inactive for long enough, with everything that is its own', async () => {
    const { cell, root, config, folder } = await makeCell();
    for (const id of ['old', 'new', 'used']) await fill(cell, id);
    const credentials = new CredentialStore({ folder: join(root, '.upstream') });
    for (const customer of ['old', 'new']) await credentials.set({ customer }, 'TOKEN', new Secret('x'));
    await mkdir(join(root, '.upstream/customers/old/server'), { recursive: true });
    for (const id of ['old', 'used']) await age(root, id, 100);
    expect((await cell.inactiveCustomers(101 * DAY)).map(({ customer }) => customer)).toEqual([]);
    const prune = (...flags: string[]) =>
      cli(['--config', config, 'workspace', 'prune', '--inactive', '90d', '--json', ...flags], { cwd: folder });
    const shown = await prune();
    expect(JSON.parse(shown.stdout)).toMatchObject([
      { customer: 'old', sessions: 1, removed: false },
      { customer: 'used', removed: false },
    ]);
    expect(await readdir(root)).toContain('old');
    const share = await (await cell.customer('used').workspace()).tenure.share();
    const pruned = await prune('--yes', '--export', join(folder, 'backup'));
    expect([pruned.code, JSON.parse(pruned.stdout)]).toMatchObject([
      4,
      [
        { customer: 'old', removed: true },
        { customer: 'used', removed: false, kept: 'in use' },
      ],
    ]);
    await share[Symbol.asyncDispose]();
    expect((await readdir(root)).filter((name) => !name.startsWith('.')).sort()).toEqual(['new', 'used']);
    expect((await credentials.list()).map(({ customer }) => customer)).toEqual(['new']);
    expect(await readdir(join(root, '.upstream/customers'))).toEqual([]);
    const restored = await cli(
      ['--config', config, 'workspace', 'import', join(folder, 'backup/old.tar.gz'), '--customer', 'old'],
      { cwd: folder },
    );
    expect(restored.code).toBe(0);
    expect(await readFile(join(root, 'old/files/data/a'), 'utf8')).toBe('a');
    await expect(cell.removeCustomer('old', { inactiveMs: DAY })).rejects.toMatchObject({ code: 'invalid_state' });
  });
});
