import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Deadline, poll } from '../../../src/util/deadline.ts';
import { FileLock } from '../../../src/util/file-lock.ts';
import { nextLine, startChild } from './child.ts';
import { temporaryFolder } from './temporary-folder.ts';

const HOLDER = new URL('./lock-holder.ts', import.meta.url);
const COUNTER = new URL('./lock-counter.ts', import.meta.url);

async function freshLock(): Promise<{ readonly path: string; readonly what: string }> {
  return { path: join(await temporaryFolder(), 'lock'), what: 'Session "x"' };
}

describe('FileLock', () => {
  test('is had by one at a time, and says which process has it', async () => {
    const options = await freshLock();
    const lock = await FileLock.acquire(options);
    await expect(FileLock.acquire(options)).rejects.toMatchObject({
      code: 'busy',
      message: `Session "x" is in use by process ${process.pid}; try again when it is done`,
      details: { pid: process.pid },
    });
    await lock.release();
    await (await FileLock.acquire(options)).release();
  });

  test('leaves nothing behind once it is released, however often', async () => {
    const options = await freshLock();
    const lock = await FileLock.acquire(options);
    await Promise.all([lock.release(), lock.release(), lock[Symbol.asyncDispose]()]);
    await expect(readdir(options.path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('a second release does not take it from the next owner', async () => {
    const options = await freshLock();
    const first = await FileLock.acquire(options);
    await first.release();
    await using _second = await FileLock.acquire(options);
    await first.release();
    await expect(FileLock.acquire(options)).rejects.toMatchObject({ code: 'busy' });
  });

  test('goes from a process that was killed to the next that asks', async () => {
    const options = await freshLock();
    const holder = startChild(HOLDER, [options.path]);
    expect(await nextLine(holder)).toBe(String(holder.pid));
    await expect(FileLock.acquire(options)).rejects.toMatchObject({ code: 'busy', details: { pid: holder.pid } });
    await holder.kill();
    await using _lock = await FileLock.acquire(options);
    expect(await readdir(options.path)).toHaveLength(1);
  });

  test('is not held by a dead process that its parent has not waited for', async () => {
    const options = await freshLock();
    const parent = spawn(
      'sh',
      ['-c', '"$@" & exec sleep 600', 'sh', process.execPath, fileURLToPath(HOLDER), options.path],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    onTestFinished(() => {
      parent.kill('SIGKILL');
    });
    const [pid] = await once(createInterface(parent.stdout), 'line');
    await expect(FileLock.acquire(options)).rejects.toMatchObject({ code: 'busy' });
    process.kill(Number(pid), 'SIGKILL');
    using deadline = new Deadline('Dying', 120_000);
    const stat = () => readFile(`/proc/${pid}/stat`, 'utf8');
    await poll(deadline, async () => ((await stat()).includes(') Z ') ? true : undefined));
    await (await FileLock.acquire(options)).release();
  });

  test.each([
    ['another start time', (token: string) => token.replace(/-\d+-/, '-1-')],
    ['another boot', (token: string) => token.replace(/-[^-]+$/, '-ffffffff')],
  ])('is not held by an earlier process with the same pid and %s', async (_, change) => {
    const options = await freshLock();
    const lock = await FileLock.acquire(options);
    const [claim = ''] = await readdir(options.path);
    await lock.release();
    await mkdir(options.path);
    await writeFile(join(options.path, `${change(claim.split('.')[0] ?? '')}.0123456789ab`), '');
    await using _lock = await FileLock.acquire(options);
    expect(await readdir(options.path)).toHaveLength(1);
  });

  test('waits for its turn', async () => {
    const options = await freshLock();
    using deadline = new Deadline('Waiting', 120_000);
    const first = await FileLock.acquire(options);
    const second = FileLock.wait(options, deadline);
    await first.release();
    await (await second).release();
  });

  test('waits no longer than the deadline', async () => {
    const options = await freshLock();
    await using _lock = await FileLock.acquire(options);
    using deadline = new Deadline('Waiting', 50);
    await expect(FileLock.wait(options, deadline)).rejects.toMatchObject({ code: 'deadline_exceeded' });
    expect(await readdir(options.path)).toHaveLength(1);
  });

  test('says that its folder is missing', async () => {
    const { path, what } = await freshLock();
    await expect(FileLock.acquire({ path: join(path, 'below'), what })).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('lets no two processes in at once', async () => {
    const options = await freshLock();
    const counter = join(await temporaryFolder(), 'counter');
    await writeFile(counter, '0');
    const children = Array.from({ length: 4 }, () => startChild(COUNTER, [options.path, counter, '40']));
    expect(await Promise.all(children.map((child) => child.exit))).toEqual([0, 0, 0, 0]);
    expect(await readFile(counter, 'utf8')).toBe('160');
  });

  test('lets no two in at once within a process', async () => {
    const options = await freshLock();
    using deadline = new Deadline('Taking turns', 120_000);
    let inside = 0;
    let most = 0;
    const turn = async () => {
      await using _lock = await FileLock.wait(options, deadline);
      most = Math.max(most, ++inside);
      await new Promise(setImmediate);
      inside--;
    };
    await Promise.all(Array.from({ length: 20 }, turn));
    expect(most).toBe(1);
  });
});
