import { join } from 'node:path';
import type { SandboxResponse } from '../../src/protocol/rest.ts';
import { KeyStore } from '../../src/sandbox/key-store.ts';
import { SandboxServer, type SandboxServerOptions } from '../../src/sandbox/server.ts';
import { Secret } from '../../src/util/secret.ts';
import { quietDriver } from './quiet-driver.ts';
import { type Answer, API_KEY, type CallOptions, callJson, sandboxSpec } from './sandbox-server.ts';
import { tempFolder } from './temp-folder.ts';

/** A server over guests that are not there: for everything that happens before one is asked. */
export interface QuietServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  readonly store: KeyStore;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** The id of a new sandbox that runs. */
  start(name: string): Promise<string>;
}

export async function openQuietServer(options: Partial<SandboxServerOptions> = {}): Promise<QuietServer> {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const store = new KeyStore(join(folder.path, '.server'));
  const server = stack.use(
    await SandboxServer.listen({
      driver: quietDriver(),
      keys: [new Secret(API_KEY), store],
      volumes: join(folder.path, '.volumes'),
      bindRoots: [folder.path],
      bootTimeoutMs: 60_000,
      ...options,
    }),
  );
  const call = (method: string, path: string, options?: CallOptions) =>
    callJson(`${server.url}${path}`, method, options);
  return {
    url: server.url,
    port: Number(new URL(server.url).port),
    folder: folder.path,
    store,
    call,
    start: async (name) => {
      const { body } = await call('POST', '/v1/sandboxes?start=true&wait_for=running', { body: sandboxSpec(name) });
      return (body as SandboxResponse).id;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
