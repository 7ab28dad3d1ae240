import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { SandboxResponse } from '../../src/protocol/rest.ts';
import { API_KEY, callJson, sandboxSpec } from './sandbox-server.ts';

const SERVER = fileURLToPath(new URL('./serve-state.ts', import.meta.url));

/** A Microsandbox server as a process of its own, which can be killed. */
export interface StateServer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** Paths begin below `/v1/sandboxes`; gives the answer's body. */
  call(method: string, path: string, body?: object): Promise<unknown>;
  /** Starts a sandbox of the image `host` and waits until it runs. */
  start(name: string, spec?: object): Promise<SandboxResponse>;
  /** By SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

/** Starts one that keeps its state in `folder`; guests may reach what is on `allow`. */
export async function openStateServer(
  folder: string,
  driver = 'qemu',
  allow: readonly string[] = [],
): Promise<StateServer> {
  const child = spawn(process.execPath, [SERVER, folder, API_KEY, driver, ...allow], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit').then(() => {
    throw new Error('The server ended before it listened');
  });
  const [url] = (await Promise.race([once(createInterface(child.stdout), 'line'), gone])) as [string];
  const call = async (method: string, path: string, body?: object) =>
    (await callJson(`${url}/v1/sandboxes${path}`, method, { body })).body;
  return {
    url,
    pid: child.pid ?? 0,
    call,
    start: async (name, spec = {}) => {
      const body = { ...sandboxSpec(name), ...spec };
      const sandbox = (await call('POST', '?start=true&wait_for=running&wait_timeout=60', body)) as SandboxResponse;
      if (sandbox.status !== 'running') throw new Error(`The sandbox does not run: ${JSON.stringify(sandbox)}`);
      return sandbox;
    },
    kill: () => kill(child),
    // Guests that survive their server are ended by name before.
    [Symbol.asyncDispose]: async () => {
      const { data } = (await call('GET', '?limit=100').catch(() => ({ data: [] }))) as { data: SandboxResponse[] };
      for (const { id } of data) await call('DELETE', `/${id}`).catch(() => {});
      await kill(child);
    },
  };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
