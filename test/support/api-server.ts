import { type Dispatcher, request } from 'undici';
import { loadConfig } from '../../src/config/load-config.ts';
import { httpApi } from '../../src/http/http-api.ts';
import { createDriver } from '../../src/workcell/driver-choice.ts';
import { ownBackend } from '../../src/workcell/own-backend.ts';
import { Readiness } from '../../src/workcell/readiness.ts';
import {
  type KeyStore,
  newApiKey,
  openBudget,
  openKeyStore,
  serveSandboxes,
} from '../../src/workcell/sandbox-backend.ts';
import { createWorkcell, type Workcell } from '../../src/workcell/workcell.ts';
import { type CellOptions, writeConfig } from './cell-config.ts';
import { quietDriver } from './quiet-driver.ts';
import { tempFolder } from './temp-folder.ts';

/** What `workcell serve` starts, within this process: the API for customers over a cell that runs its programs on the server. */
export interface ApiServer extends AsyncDisposable {
  readonly url: string;
  readonly folder: string;
  readonly cell: Workcell;
  readonly store: KeyStore;
  /** Of an administrator. */
  readonly key: string;
  call(method: string, path: string, options?: ApiCall): Promise<ApiAnswer>;
}

export interface ApiCall {
  /** Default: the administrator's. Null sends none. */
  readonly key?: string | null;
  /** A string or bytes go out as they are, anything else as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
  /** Of an answer that is JSON. */
  readonly body: unknown;
}

export interface ApiServerOptions extends CellOptions {
  /** `quiet`: guests that are not there, for everything that happens before one is asked. Default: bubblewrap. */
  readonly driver?: 'quiet' | 'bubblewrap';
}

export async function openApiServer({ driver: wanted, ...options }: ApiServerOptions = {}): Promise<ApiServer> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const path = await writeConfig(folder.path, {
    ...options,
    sandbox: { driver: 'bubblewrap', isolation: 'process', ...options.sandbox },
  });
  const key = newApiKey();
  const loaded = await loadConfig({ path, env: {} });
  const settings = loaded.config;
  const { backend, listensAt } = ownBackend(settings, key);
  const cell = stack.use(await createWorkcell({ config: loaded, ...(backend === undefined ? {} : { backend }) }));
  const budget = openBudget(settings);
  const driver = stack.use(wanted === 'quiet' ? quietDriver() : await createDriver(settings, { budget }));
  const readiness = new Readiness({ driver, folder: settings.paths.workspaces, isDraining: () => cell.isDraining });
  const store = openKeyStore(settings);
  const server = stack.use(
    await serveSandboxes(settings, driver, {
      ...{ host: '127.0.0.1', port: 0, hosts: [], keys: [key, store], budget },
      keepsState: false,
      routes: httpApi({ cell, readiness }, '0.0.0'),
      metrics: cell.metrics,
    }),
  );
  listensAt(server.url);
  stack.defer(() => cell.close());
  const owned = stack.move();
  return {
    url: server.url,
    folder: folder.path,
    cell,
    store,
    key: key.reveal(),
    call: (method, path, call) => callApi(`${server.url}${path}`, method, { key: key.reveal(), ...call }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** One request, and its whole answer. */
export async function callApi(url: string, method: string, { key, body, headers = {} }: ApiCall): Promise<ApiAnswer> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  const response = await request(url, {
    method: method as Dispatcher.HttpMethod,
    headers: {
      ...(key === null || key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined || isRaw ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? null : isRaw ? body : JSON.stringify(body),
  });
  const text = await response.body.text();
  const told = response.headers as Readonly<Record<string, string | undefined>>;
  return {
    status: response.statusCode,
    headers: told,
    text,
    body:
      /\bjson\b/.test(told['content-type'] ?? '') && !/ndjson/.test(told['content-type'] ?? '') && text !== ''
        ? JSON.parse(text)
        : undefined,
  };
}
