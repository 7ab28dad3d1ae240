import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { createWorkcell } from '../../src/workcell/workcell.ts';
import { openCell } from '../support/cell.ts';
import { writeConfig } from '../support/cell-config.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { descendants, descendantsNamed, eventually, isRunning } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const HOLDER = fileURLToPath(new URL('../support/cell-holder.ts', import.meta.url));
const ENDLESS = "console.log('started'); setInterval(() => {}, 1000);";
const double = doubleServer({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] });

/** Processes below this one; the compiler of programs keeps one for the life of its host, which ends with it. */
async function ours(): Promise<readonly number[]> {
  const compilers = await descendantsNamed('esbuild');
  return (await descendants()).filter((pid) => !compilers.includes(pid));
}

/** Folders with the sockets and the memory of a process's guests. */
async function runDirectories(pid: number = process.pid): Promise<readonly string[]> {
  return (await readdir('/dev/shm')).filter((name) => name.startsWith(`workcell-${process.getuid?.()}-${pid}.`));
}

afterEach(async () => {
  expect(await ours()).toEqual([]);
  expect(await runDirectories()).toEqual([]);
});

it('closing a cell ends everything that it has started', async () => {
  const cell = await openCell({ mcpServers: { double } });
  await Promise.all(['ann', 'bob'].map((id) => cell.workcell.customer(id).execute({ code: 'return 1' })));
  expect(await descendantsNamed('qemu-system-x86_64')).toHaveLength(2);
  expect(await runDirectories()).toHaveLength(1);
  await Promise.all([cell[Symbol.asyncDispose](), cell.workcell.close()]);
});

it('closing a cell ends the programs that run in it', async () => {
  const cell = await openCell({ mcpServers: { double } });
  let started = false;
  const running = cell.workcell.customer('ann').execute({
    code: ENDLESS,
    onEvent: ({ type }) => {
      started ||= type === 'stdout';
    },
  });
  running.catch(() => {});
  await eventually(() => started);
  await cell.workcell.close();
  await expect(running).rejects.toMatchObject({ code: expect.stringMatching(/sandbox_lost|cancelled/) });
  await cell[Symbol.asyncDispose]();
});

it.each([0, 100, 400, 800])('closing a cell %i ms into its first boot leaves nothing', async (delay) => {
  const cell = await openCell();
  const running = cell.workcell.customer('ann').execute({ code: ENDLESS });
  running.catch(() => {});
  // Wherever the boot is by then: each moment is one that a caller may choose.
  await new Promise((resolve) => setTimeout(resolve, delay));
  await cell.workcell.close();
  await expect(running).rejects.toMatchObject({ name: 'WorkcellError' });
  // Only now: at 0 ms the run may still be making its workspace, which this removes.
  await cell[Symbol.asyncDispose]();
});

it('a host that is killed leaves no guest, and the next one clears what it left on disk', async () => {
  await using folder = await tempFolder();
  const config = await writeConfig(folder.path, { mcpServers: { double } });
  const holder = spawn(process.execPath, [HOLDER, config], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const died = once(holder, 'exit').then(() =>
      Promise.reject(new Error('The process with the cell ended by itself')),
    );
    died.catch(() => {});
    await Promise.race([once(holder.stdout, 'data'), died]);
    const below = (await ours()).filter((pid) => pid !== holder.pid);
    const guests = [...(await descendantsNamed('qemu-system-x86_64')), ...(await descendantsNamed('virtiofsd'))];
    expect(guests.length).toBeGreaterThanOrEqual(2);
    expect(await runDirectories(holder.pid)).toHaveLength(1);

    holder.kill('SIGKILL');
    await once(holder, 'exit');
    await eventually(async () => !(await Promise.all(below.map(isRunning))).includes(true));

    await using workcell = await createWorkcell({ config });
    expect((await workcell.customer('ann').session('held')).tasks).toMatchObject([{ status: 'interrupted' }]);
    expect(await workcell.customer('ann').execute({ code: 'return 1', session: 'held' })).toMatchObject({ value: 1 });
    expect(await runDirectories(holder.pid)).toEqual([]);
  } finally {
    holder.kill('SIGKILL');
  }
});
