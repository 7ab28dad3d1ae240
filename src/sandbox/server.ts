import { isUtf8 } from 'node:buffer';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import websocket from '@fastify/websocket';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { findCustomerOf } from '../core/customer-of.ts';
import { ERRORS, WorkcellError } from '../core/errors.ts';
import type { BootKind } from '../core/execution.ts';
import type { CustomerId } from '../core/ids.ts';
import { parseAllowList } from '../core/network-policy.ts';
import type { Principal } from '../core/principal.ts';
import { Cleanup } from '../util/cleanup.ts';
import { FileLock } from '../util/file-lock.ts';
import { allowedMethods } from './allowed-methods.ts';
import { toFailure, toNotFound } from './api-error.ts';
import { authenticateRequests } from './authenticate-requests.ts';
import { Authenticator, type KeySource } from './authenticator.ts';
import type { SandboxDriver } from './driver.ts';
import { EventLog } from './event-log.ts';
import { guardSandboxApi } from './guard-sandbox-api.ts';
import { createHttpApp } from './http-app.ts';
import { HTTP_LIMITS, type HttpLimits } from './http-limits.ts';
import { KeyStore } from './key-store.ts';
import { SandboxRegistry } from './registry.ts';
import { guardRequests } from './request-guard.ts';
import { RequestRates } from './request-rates.ts';
import { accountRoutes } from './routes/account.ts';
import { agentRoute } from './routes/agent.ts';
import { eventRoutes } from './routes/events.ts';
import { logRoutes } from './routes/logs.ts';
import { rpcRoutes } from './routes/rpc.ts';
import { sandboxRoutes } from './routes/sandboxes.ts';
import { volumeFileRoutes } from './routes/volume-files.ts';
import { volumeRoutes } from './routes/volumes.ts';
import { callerOf } from './rpc/caller.ts';
import type { MemoryShares } from './sandbox.ts';
import { SandboxStore } from './sandbox-store.ts';
import { UsageLedger } from './usage-ledger.ts';
import { VolumeStore } from './volumes.ts';

export interface SandboxServerOptions {
  readonly driver: SandboxDriver;
  /** Default `127.0.0.1`. */
  readonly host?: string;
  /** 0, the default, takes any free port. */
  readonly port?: number;
  /** Names under which clients reach this server, besides `localhost` and the address that they connect to. */
  readonly hosts?: readonly string[];
  /** Who has one of these secrets may do everything; what keys of a store may do, it says. There is no way to run without. */
  readonly keys: readonly [KeySource, ...KeySource[]];
  /** Those left out are as in `HTTP_LIMITS`. */
  readonly limits?: Partial<HttpLimits>;
  /** Folder of the named volumes. */
  readonly volumes: string;
  /** Folders of the host below which bind mounts are allowed. Default none. */
  readonly bindRoots?: readonly string[];
  /** What an image's name stands for, beside `host`: `host`, or the absolute path of a folder that holds a root file system. */
  readonly images?: Readonly<Record<string, string>>;
  /** How long a guest may take to start, from when there is memory for it. */
  readonly bootTimeoutMs: number;
  /** Hands out the host's memory. Absent: it is not counted. */
  readonly budget?: MemoryShares;
  /** How long a start may wait for memory. Default 5 minutes. */
  readonly queueTimeoutMs?: number;
  /** Sandboxes that an organisation may have in all states together. Default 10 000. */
  readonly maxSandboxes?: number;
  /** Told how long each start of a sandbox took; `boot` is undefined for one that has failed. */
  readonly onStart?: (boot: BootKind | undefined, ms: number) => void;
  /** Told of each request when its answer is complete, or its client is gone. */
  readonly onAnswered?: (facts: AnsweredRequest) => void;
  /** Told of what went wrong in the server itself, whose reason no client is told. */
  readonly onProblem?: (error: unknown, requestId?: string) => void;
  /** Told of each request that was refused because there were too many: the name of the limit. */
  readonly onLimited?: (limit: string) => void;
  /** What guests may reach at most: `example.com`, `10.0.0.0/8:5432`, `*`, … (`parseAllowList`). Default nothing. */
  readonly allow?: readonly string[];
  /**
   * Folder in which sandboxes, events and use outlive the server; one server at a time has it. Guests that the driver can
   * adopt then outlive a server that is killed. Absent: everything ends with the server.
   */
  readonly state?: string;
  /** Serves more on the same port, behind the same guard and keys. Its failures are told as `application/problem+json`. */
  readonly routes?: (app: FastifyInstance) => Promise<void>;
}

export interface AnsweredRequest {
  readonly id: string;
  readonly method: string;
  /** The pattern of its path; `none` when no route takes it. */
  readonly route: string;
  /** 499 when the client was gone before there was an answer. */
  readonly status: number;
  readonly ms: number;
  /** Of the key that it came with. */
  readonly keyId: string | undefined;
  /** The one that it was for, with its organisation: none when that is not the key's. */
  readonly customer: CustomerId | undefined;
}

const QUEUE_TIMEOUT_MS = 5 * 60_000;
const MAX_SANDBOXES = 10_000;

/**
 * A Microsandbox server: the cloud API of superradcompany/microsandbox over guests of one driver.
 *
 * It ends every guest that it has started when it is closed; with `state`, sandboxes are there again, stopped, in the next.
 */
export class SandboxServer implements AsyncDisposable {
  /** `http://127.0.0.1:5555` */
  readonly url: string;
  readonly #registry: SandboxRegistry;
  readonly #cleanup: Cleanup;

  private constructor({ url, registry }: Opened, cleanup: Cleanup) {
    this.url = url;
    this.#registry = registry;
    this.#cleanup = cleanup;
  }

  /** How many sandboxes there are in each state. */
  countByState(): Readonly<Record<string, number>> {
    return this.#registry.countByState();
  }

  /** Throws `busy` when another server has the state folder. */
  static async listen(options: SandboxServerOptions): Promise<SandboxServer> {
    const cleanup = new Cleanup();
    try {
      return new SandboxServer(await open(options, cleanup), cleanup);
    } catch (error) {
      await cleanup.run();
      throw error;
    }
  }

  /** Refuses new work, ends all guests, closes the port. */
  close(): Promise<void> {
    return this.#cleanup.run();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

interface Opened {
  readonly url: string;
  readonly registry: SandboxRegistry;
}

/** A server that listens; `cleanup` is what has to be undone, also when this throws. */
async function open(options: SandboxServerOptions, cleanup: Cleanup): Promise<Opened> {
  const { driver, keys, bindRoots = [], images = {}, bootTimeoutMs, host = '127.0.0.1', hosts = [], state } = options;
  const limits = { ...HTTP_LIMITS, ...options.limits };
  const keyFolders = keys.filter((source) => source instanceof KeyStore).map(({ folder }) => folder);
  const volumes = new VolumeStore(options.volumes);
  cleanup.add(() => volumes.close());
  if (state !== undefined) {
    const lock = await lockState(state);
    cleanup.add(() => lock.release());
  }
  await volumes.recover();
  const events = await EventLog.open(state);
  const usage = await UsageLedger.open(state);
  const registry = await SandboxRegistry.open({
    driver,
    volumes,
    bindRoots,
    images,
    allowed: parseAllowList(options.allow ?? []),
    closedFolders: state === undefined ? keyFolders : [...keyFolders, state],
    bootTimeoutMs,
    budget: options.budget,
    queueTimeoutMs: options.queueTimeoutMs ?? QUEUE_TIMEOUT_MS,
    onProblem: options.onProblem ?? (() => {}),
    onStart: options.onStart ?? (() => {}),
    survives: state !== undefined && driver.capabilities.adopts,
    store: await SandboxStore.open(state),
    events,
    usage,
    maxSandboxes: options.maxSandboxes ?? MAX_SANDBOXES,
  });
  const app = createHttpApp(limits);
  cleanup.add(() => app.close());
  cleanup.add(() => registry[Symbol.asyncDispose]());
  // Clients announce JSON with requests that have no body, too.
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (body.length === 0) done(null, undefined);
    else if (isUtf8(body)) parseJson(request, body.toString(), done);
    else done(new WorkcellError('invalid_argument', 'The body is not valid UTF-8, as JSON has to be'));
  });
  app.setErrorHandler((error, request, reply) => {
    const { status, headers, body, isOurs } = toFailure(error, request);
    if (isOurs) options.onProblem?.(error, request.id);
    void reply.status(status).headers(headers).send(body);
  });
  const methodsOf = allowedMethods(app);
  app.setNotFoundHandler((request, reply) => {
    const { status, headers, body } = toNotFound(request, methodsOf(request));
    void reply.status(status).headers(headers).send(body);
  });
  await app.register(websocket, {
    options: { maxPayload: limits.messageBytes, maxFragments: limits.messageFragments, perMessageDeflate: false },
  });
  const { onAnswered } = options;
  // Not `onResponse`, which nobody hears whose client is gone.
  if (onAnswered !== undefined)
    app.addHook('onRequest', async (request, reply) => {
      reply.raw.once('close', () => onAnswered(answeredBy(request, reply)));
    });
  // After the WebSocket support, which closes the connection of an upgrade that is refused.
  guardRequests(app, { host, hosts, limits });
  authenticateRequests(app, new Authenticator(keys), new RequestRates({ limits, onRefused: options.onLimited }));
  // Within a plugin of its own, because the routes must come after the WebSocket support is in place.
  await app.register(async (routes) => {
    guardSandboxApi(routes);
    sandboxRoutes(routes, registry);
    agentRoute(routes, registry);
    rpcRoutes(routes, {
      callerOf: ({ principal }) => callerOf(registry, principal),
      startTimeoutMs: bootTimeoutMs + (options.queueTimeoutMs ?? QUEUE_TIMEOUT_MS),
    });
    logRoutes(routes, registry);
    eventRoutes(routes, events);
    accountRoutes(routes, { registry, usage, listVolumes: ({ org }) => volumes.list(org.id), since: new Date() });
    await routes.register(async (nested) => volumeRoutes(nested, volumes));
    await routes.register(async (nested) => volumeFileRoutes(nested, volumes));
  });
  if (options.routes !== undefined) await app.register(options.routes);
  return { url: await app.listen({ host, port: options.port ?? 0 }), registry };
}

/** Of an upgrade, whose connection is not HTTP any more. */
const SWITCHED = 101;

function answeredBy(request: FastifyRequest, reply: FastifyReply): AnsweredRequest {
  const { id, method, routeOptions, params } = request;
  // Absent when the request was refused before it was known whose it is.
  const principal: Principal | undefined = request.principal;
  return {
    id,
    method,
    route: routeOptions.url ?? 'none',
    status: reply.raw.headersSent ? reply.raw.statusCode : request.ws ? SWITCHED : ERRORS.cancelled.http,
    ms: reply.elapsedTime,
    keyId: principal?.keyId,
    customer: principal === undefined ? undefined : customerIn(params, principal),
  };
}

/** What clients write may be anything, and does not come into a log. */
function customerIn(params: unknown, principal: Principal): CustomerId | undefined {
  const { customer: given = principal.customer } = (params ?? {}) as { readonly customer?: string };
  return given === undefined ? undefined : findCustomerOf(principal, given);
}

async function lockState(state: string): Promise<FileLock> {
  await mkdir(state, { recursive: true, mode: 0o700 });
  return FileLock.acquire({ path: join(state, '.lock'), what: 'The state folder of the sandbox server' });
}
