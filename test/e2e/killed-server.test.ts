import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Page, SandboxResponse } from '../../src/protocol/rest.ts';
import { eventually } from '../support/processes.ts';
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

it('a server that is killed leaves no guest, and its sandboxes are failed, and start again, in the next', async () => {
  const first = await serve();
  const sandbox = (await first.call(
    'POST',
    '/v1/sandboxes?start=true&wait_for=running',
    sandboxSpec('kept'),
  )) as SandboxResponse;
  expect(sandbox.status).toBe('running');
  const guests = await processesBelow(first.child.pid as number);
  expect(guests.length).toBeGreaterThan(0);
  const file = join(folder.path, 'state/sandboxes', `${sandbox.id}.json`);
  await eventually(async () => (await readFile(file, 'utf8')).includes('"running"'));
  await kill(first.child);
  await eventually(async () => {
    const states = await Promise.all(guests.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z')));
    return states.every((stat) => stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z'));
  });
  const second = await serve();
  const { data } = (await second.call('GET', '/v1/sandboxes')) as Page<SandboxResponse>;
  expect(data).toMatchObject([
    { id: sandbox.id, status: 'failed', last_failure_message: expect.stringContaining('The server has ended') },
  ]);
  expect(await second.call('POST', `/v1/sandboxes/${sandbox.id}/start?wait_for=running`)).toMatchObject({
    status: 'running',
    last_failure_message: null,
  });

  // A guest that does not move any more holds nothing up either.
  const machines = await processesBelow(second.child.pid as number);
  for (const pid of machines) process.kill(pid, 'SIGSTOP');
  const began = performance.now();
  expect(await second.call('GET', '/v1/sandboxes')).toMatchObject({ data: [{ status: 'running' }] });
  expect(performance.now() - began).toBeLessThan(5_000);
  expect(await second.call('POST', `/v1/sandboxes/${sandbox.id}/stop`)).toMatchObject({ status: 'stopped' });
  const left = await Promise.all(machines.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z')));
  expect(left.filter((stat) => stat.slice(stat.lastIndexOf(')') + 2).startsWith('T'))).toEqual([]);
});
