import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Page, SandboxResponse } from '../../src/protocol/rest.ts';
import { eventually, isRunning } from '../support/processes.ts';
import { API_KEY, sandboxSpec } from '../support/sandbox-server.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const SERVER = fileURLToPath(new URL('../support/serve-state.ts', import.meta.url));

let folder: TempFolder;
let running: ChildProcess[];

beforeEach(async () => {
  folder = await tempFolder();
  running = [];
});

afterEach(async () => {
  for (const child of running) await kill(child);
  await folder[Symbol.asyncDispose]();
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function serve(): Promise<{
  child: ChildProcess;
  call: (method: string, path: string, body?: object) => Promise<unknown>;
}> {
  const child = spawn(process.execPath, [SERVER, folder.path, API_KEY], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.push(child);
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string];
  const call = async (method: string, path: string, body?: object) => {
    const response = await request(`${url}${path}`, {
      method: method as 'GET',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    return response.body.json();
  };
  return { child, call };
}

/** Command lines of living processes that name the sandbox, or a folder of a guest of the process. */
async function processesBelow(pid: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: number[] = [];
  for (const each of pids) {
    const stat = await readFile(`/proc/${each}/stat`, 'utf8').catch(() => '');
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state !== 'Z' && Number(parent) === pid) found.push(each, ...(await processesBelow(each)));
  }
  return found;
}

it('the guests of a server that is killed run on, and are those of the next one', async () => {
  const first = await serve();
  const sandbox = (await first.call(
    'POST',
    '/v1/sandboxes?start=true&wait_for=running',
    sandboxSpec('kept'),
  )) as SandboxResponse;
  expect(sandbox.status).toBe('running');
  const machines = await processesBelow(first.child.pid as number);
  expect(machines.length).toBeGreaterThan(0);
  const file = join(folder.path, 'state/sandboxes', `${sandbox.id}.json`);
  await eventually(async () => (await readFile(file, 'utf8')).includes('"running"'));
  await kill(first.child);
  const second = await serve();
  const { data } = (await second.call('GET', '/v1/sandboxes')) as Page<SandboxResponse>;
  expect(data).toMatchObject([{ id: sandbox.id, status: 'running', started_at: sandbox.started_at }]);

  // A guest that does not move any more holds nothing up either.
  for (const pid of machines) process.kill(pid, 'SIGSTOP');
  const began = performance.now();
  expect(await second.call('GET', '/v1/sandboxes')).toMatchObject({ data: [{ status: 'running' }] });
  expect(performance.now() - began).toBeLessThan(5_000);
  expect(await second.call('POST', `/v1/sandboxes/${sandbox.id}/stop`)).toMatchObject({ status: 'stopped' });
  await eventually(async () => !(await Promise.all(machines.map(isRunning))).includes(true));
});
