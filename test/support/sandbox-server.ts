import { homedir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import type { SandboxResponse } from '../../src/protocol/rest.ts';
import { QemuDriver } from '../../src/sandbox/drivers/qemu/driver.ts';
import { SandboxServer } from '../../src/sandbox/server.ts';
import { Secret } from '../../src/util/secret.ts';
import { tempFolder } from './temp-folder.ts';

export const API_KEY = 'msb_of-the-test';

/** A Microsandbox server over real guests, and a plain HTTP client of it. */
export interface TestServer extends AsyncDisposable {
  readonly url: string;
  /** Below it, `allowed/` may be mounted into guests. */
  readonly folder: string;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Starts a sandbox of the image `host` and waits until it runs. */
  start(name: string, spec?: Readonly<Record<string, unknown>>): Promise<SandboxResponse>;
}

export interface CallOptions {
  readonly body?: unknown;
  /** Default: the key of the server. Null sends none. */
  readonly key?: string | null;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export async function openServer(): Promise<TestServer> {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell');
  const driver = stack.use(await QemuDriver.create({ cache, defaults: { cpus: 1, memoryMib: 512 } }));
  const server = stack.use(
    await SandboxServer.listen({
      driver,
      keys: [new Secret('msb_another'), new Secret(API_KEY)],
      volumes: join(folder.path, 'volumes'),
      bindRoots: [join(folder.path, 'allowed')],
      bootTimeoutMs: 60_000,
    }),
  );

  const call = (method: string, path: string, options?: CallOptions) =>
    callJson(`${server.url}${path}`, method, options);

  return {
    url: server.url,
    folder: folder.path,
    call,
    start: async (name, spec = {}) => {
      const { body } = await call('POST', '/v1/sandboxes?start=true&wait_for=running&wait_timeout=60', {
        body: { ...sandboxSpec(name), ...spec },
      });
      const sandbox = body as SandboxResponse;
      if (sandbox.status !== 'running') throw new Error(`The sandbox does not run: ${JSON.stringify(body)}`);
      return sandbox;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export function sandboxSpec(name: string): Readonly<Record<string, unknown>> {
  return { name, image: { type: 'oci', reference: 'host' } };
}

/** One request with a key, and its answer, which must be JSON. */
export async function callJson(
  url: string,
  method: string,
  { body, key = API_KEY }: CallOptions = {},
): Promise<Answer> {
  const response = await request(url, {
    method: method as 'GET',
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.statusCode, body: await response.body.json() };
}
