import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import type { SessionLog } from '../../../src/sessions/session-log.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { WorkspaceLease } from '../../../src/workspaces/workspace-lease.ts';
import { WorkspaceStore } from '../../../src/workspaces/workspace-store.ts';
import { eventually } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const SERVER = fileURLToPath(new URL('./lease-server.ts', import.meta.url));
/** Long enough for a server of a loaded machine to renew its lease in time. */
const TTL_MS = 6_000;

async function makeRoot(): Promise<string> {
  const folder = await tempFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  return folder.path;
}

/** A server in a process of its own. */
async function startServer(root: string) {
  const child = spawn(process.execPath, [SERVER, root, String(TTL_MS)], { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(async () => {
    const ended = once(child, 'exit');
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await ended;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said: unknown[] = [];
  const next = async () => {
    for (;;) {
      const { value } = await lines.next();
      const outcome: unknown = JSON.parse(value ?? '"ended"');
      if (outcome !== 'lost') return outcome;
      said.push(outcome);
    }
  };
  expect(await next()).toBe('ready');
  const send = (command: string) => void child.stdin.write(`${command}\n`);
  return {
    send,
    next,
    said,
    signal: (name: NodeJS.Signals) => child.kill(name),
    ask: (command: string) => {
      send(command);
      return next();
    },
  };
}

const stepsOf = async (root: string) => {
  const workspace = await new WorkspaceStore({ root }).open(parseCustomerId('acme'));
  const events = await Array.fromAsync((await new SessionStore(workspace).find(parseSessionId('shared'))) ?? []);
  return events.flatMap((event) => (event.type === 'checkpoint.set' ? [[event.seq, event.step, event.lease]] : []));
};

describe('a customer on storage that servers share', () => {
  test('is owned by one of them, and goes to another at once when it is let go', async () => {
    const root = await makeRoot();
    const [a, b] = [await startServer(root), await startServer(root)];
    expect(await a.ask('open')).toBe('done');
    expect(await b.ask('open')).toMatchObject({ code: 'busy', retryAfterMs: expect.any(Number) });
    expect(await b.ask('write x')).toMatchObject({ code: 'busy' });
    expect(await a.ask('append one')).toBe(2);
    for (const command of ['close', 'leave']) expect(await a.ask(command)).toBe('done');
    expect(await b.ask('open')).toBe('done');
    expect(await b.ask('append two')).toBe(3);
    expect(await stepsOf(root)).toEqual([
      [2, 'one', 1],
      [3, 'two', 2],
    ]);
  });

  test('stays with an owner that renews for longer than one lease lasts', async () => {
    const root = await makeRoot();
    const [a, b] = [await startServer(root), await startServer(root)];
    expect(await a.ask('open')).toBe('done');
    const until = Date.now() + 1.3 * TTL_MS;
    await eventually(async () => {
      expect(await b.ask('open')).toMatchObject({ code: 'busy' });
      return Date.now() > until;
    });
    expect(await a.ask('append still')).toBe(2);
  });

  test('goes to another when its owner is stopped, and nothing that the owner does afterwards appears', async () => {
    const root = await makeRoot();
    const [a, b] = [await startServer(root), await startServer(root)];
    expect(await a.ask('open')).toBe('done');
    expect(await a.ask('append one')).toBe(2);
    expect(await a.ask('write before')).toBe('done');
    a.signal('SIGSTOP');
    // It is on its way when the owner goes on.
    a.send('append late');
    await eventually(async () => (await b.ask('open')) === 'done');
    expect(await b.ask('append two')).toBe(3);
    expect(await b.ask('write after')).toBe('done');
    a.signal('SIGCONT');
    expect(await a.next()).toMatchObject({ code: 'busy' });
    expect(await a.ask('append later')).toMatchObject({ code: 'busy' });
    expect(await a.ask('write evil')).toMatchObject({ code: 'busy' });
    expect(a.said).toEqual(['lost']);
    expect(await b.ask('append three')).toBe(4);
    expect(await stepsOf(root)).toEqual([
      [2, 'one', 1],
      [3, 'two', 2],
      [4, 'three', 2],
    ]);
    expect(await readFile(join(root, 'acme/files/f'), 'utf8')).toBe('after');
  });

  test('what reaches the file of a former owner, or the log with a smaller token, is read by nobody', async () => {
    const root = await makeRoot();
    const workspace = await new WorkspaceStore({ root }).open(parseCustomerId('acme'));
    // Always between its check and its write.
    const fence = (token: number) => async () => ({
      token,
      assertHeld: () => {},
      [Symbol.asyncDispose]: async () => {},
    });
    const append = (log: SessionLog, step: string) =>
      log.append({ type: 'checkpoint.set', step, lastTask: null, context: null });
    const id = parseSessionId('shared');
    await using former = await new SessionStore({ ...workspace, fence: fence(1) }).create(id);
    await append(former, 'one');
    await using owner = await new SessionStore({ ...workspace, fence: fence(2) }).open(id);
    await append(owner, 'two');
    await append(former, 'late');
    const path = join(workspace.sessionsPath, 'shared.jsonl');
    const [, first = ''] = (await readFile(path, 'utf8')).split('\n');
    await appendFile(path, `${first.replace('"one"', '"evil"')}\n`);
    expect((await stepsOf(root)).map(([, step]) => step)).toEqual(['one', 'two']);
  });

  test('goes to another when its owner was killed with a clock that was years ahead, and had left things half done', async () => {
    const folder = join(await makeRoot(), '.lease');
    await mkdir(folder);
    const ttlMs = 300;
    const record = { owner: 'killed', token: 7, expires: Date.now() + 10 * 365 * 86_400_000, ttlMs };
    await writeFile(join(folder, '7'), JSON.stringify(record));
    await writeFile(join(folder, '.0123456789abcdef'), '');
    const lease = new WorkspaceLease({
      customer: parseCustomerId('acme'),
      folder,
      owner: 'next',
      ttlMs,
      onLost: () => {},
    });
    onTestFinished(() => lease.close());
    const began = performance.now();
    await expect(lease.hold()).rejects.toMatchObject({
      code: 'busy',
      details: { retryAfterMs: expect.toSatisfy((ms: number) => ms > 0 && ms <= 1.2 * ttlMs + 1) },
    });
    const fence = await eventually(() => lease.hold().catch(() => undefined));
    expect(performance.now() - began).toBeGreaterThan(ttlMs);
    expect(fence?.token).toBe(8);
    expect(await readdir(folder)).toEqual(['8']);
  });

  test('is told to be lost to whoever used it when its owner stood still for too long, also if nobody took it', async () => {
    const folder = join(await makeRoot(), '.lease');
    const ttlMs = 300;
    let lost = 0;
    const lease = new WorkspaceLease({
      customer: parseCustomerId('acme'),
      folder,
      owner: 'slow',
      ttlMs,
      onLost: () => void lost++,
    });
    onTestFinished(() => lease.close());
    const before = await lease.hold();
    // Stands still with everything, as when the process is stopped.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ttlMs);
    const after = await lease.hold();
    expect(lost).toBe(1);
    expect(after.token).toBe(before.token + 1);
    expect(() => before.assertHeld()).toThrow('has lost customer');
    after.assertHeld();
    expect(lost).toBe(1);
  });

  test('that was removed meanwhile is not made again by whoever comes too late, and says so', async () => {
    const root = await makeRoot();
    const customer = parseCustomerId('acme');
    for (const lease of [undefined, { ttlMs: 60_000, onLost: () => {} }]) {
      await using store = new WorkspaceStore({ root, ...(lease === undefined ? {} : { lease }) });
      const { tenure } = await store.open(customer);
      await store.remove(customer);
      await expect(tenure.share()).rejects.toMatchObject({
        code: 'busy',
        message: expect.stringContaining('removed a moment ago'),
      });
      await expect(tenure.take()).rejects.toMatchObject({ code: 'busy' });
      expect(await store.list()).toEqual([]);
    }
  });

  test('is never owned twice, however many want it, and its tokens only grow', async () => {
    const folder = join(await makeRoot(), '.lease');
    await mkdir(folder);
    let owners = 0;
    const tokens: number[] = [];
    const contend = async (name: number) => {
      const lease = new WorkspaceLease({
        customer: parseCustomerId('acme'),
        folder,
        owner: `${name}`,
        ttlMs: 60_000,
        onLost: () => {},
      });
      for (let won = 0; won < 5; ) {
        const fence = await lease.hold().catch(() => undefined);
        if (fence === undefined) {
          await new Promise((resolve) => setImmediate(resolve));
          continue;
        }
        owners++;
        expect(owners).toBe(1);
        tokens.push(fence.token);
        fence.assertHeld();
        await readdir(folder);
        owners--;
        await fence[Symbol.asyncDispose]();
        await lease.close();
        won++;
      }
    };
    await Promise.all([1, 2, 3, 4].map(contend));
    expect(tokens).toHaveLength(20);
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
  });
});
