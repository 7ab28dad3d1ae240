import { type Dispatcher, request } from 'undici';
import { loadConfig } from '../../src/config/load-config.ts';
import { httpApi } from '../../src/http/http-api.ts';
import type { OpenApiDocument } from '../../src/http/openapi.ts';
import { type McpRoutesOptions, mcpRoutes } from '../../src/mcp/http-routes.ts';
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
import { answerChecker } from './answer-checker.ts';
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
  /** `GET /customers/:customer`, …: all that it answers. */
  readonly routes: readonly string[];
  /** Throws for an answer that is not as the server's own documentation says. */
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
  /** What agents are offered besides, and who is told of failures. */
  readonly mcp?: Partial<Pick<McpRoutesOptions, 'more' | 'onProblem'>>;
}

export async function openApiServer({ driver: wanted, mcp, ...options }: ApiServerOptions = {}): Promise<ApiServer> {
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
  const readiness = new Readiness({ driver, folder: settings.paths.workspaces, cell });
  const store = openKeyStore(settings);
  let tree = '';
  const server = stack.use(
    await serveSandboxes(settings, driver, {
      ...{ host: '127.0.0.1', port: 0, hosts: [], keys: [key, store], budget },
      keepsState: false,
      routes: async (app) => {
        await app.register(httpApi({ cell, readiness }, '0.0.0'));
        await app.register(mcpRoutes({ cell, version: '0.0.0', onProblem: () => {}, ...mcp }));
        app.addHook('onReady', async () => {
          tree = app.printRoutes({ commonPrefix: false });
        });
      },
      metrics: cell.metrics,
    }),
  );
  listensAt(server.url);
  stack.defer(() => cell.close());
  const { body } = await callApi(`${server.url}/openapi.json`, 'GET', {});
  const check = answerChecker(body as OpenApiDocument);
  const owned = stack.move();
  return {
    url: server.url,
    folder: folder.path,
    cell,
    store,
    key: key.reveal(),
    routes: routesOf(tree),
    call: async (method, path, call) => {
      const answer = await callApi(`${server.url}${path}`, method, { key: key.reveal(), ...call });
      check(method, path, answer);
      return answer;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Reads the tree that fastify draws: four characters for each level, then a part of the path and its methods. */
function routesOf(tree: string): readonly string[] {
  const parts: string[] = [];
  return tree.split('\n').flatMap((line) => {
    const [, indent = '', part = '', methods = ''] = /^((?:[│ ] {3})*)[├└]── (\S+)(?: \((.*)\))?$/.exec(line) ?? [];
    if (part === '') return [];
    parts.splice(indent.length / 4, Number.POSITIVE_INFINITY, part);
    const path = parts.join('');
    return methods === '' ? [] : methods.split(', ').map((method) => `${method} ${path}`);
  });
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
