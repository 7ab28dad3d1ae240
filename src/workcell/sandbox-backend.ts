import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { messageOf, WorkcellError } from '../core/errors.ts';
import type { ProgramExecutor } from '../executor/program-executor.ts';
import { RpcSandboxes } from '../executor/rpc/rpc-sandboxes.ts';
import { SandboxExecutor } from '../executor/sandbox-executor.ts';
import type { KeySource } from '../sandbox/authenticator.ts';
import type { OnProgress, SandboxDriver } from '../sandbox/driver.ts';
import { newSecret } from '../sandbox/key-file.ts';
import { KeyStore } from '../sandbox/key-store.ts';
import { MemoryBudget } from '../sandbox/memory-budget.ts';
import { SandboxServer, type SandboxServerOptions } from '../sandbox/server.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { Cleanup } from '../util/cleanup.ts';
import { Deadline } from '../util/deadline.ts';
import type { Secret } from '../util/secret.ts';
import { createLogger } from './create-logger.ts';
import { createDriver } from './driver-choice.ts';

/** A Microsandbox server that programs can be sent to. */
export interface SandboxBackend extends AsyncDisposable {
  readonly url: string;
  readonly apiKey: Secret;
}

export type { KeyInfo } from '../sandbox/key-file.ts';
export { newSecret as newApiKey } from '../sandbox/key-file.ts';
export type { CreatedKey, KeyStore } from '../sandbox/key-store.ts';

export const MIB: number = 1024 * 1024;
/** Share of the host's memory that guests may have when the configuration names no ceiling. */
const HOST_SHARE = 0.75;
/** Downloading a kernel and booting a template, once. */
const PREPARE_TIMEOUT_MS = 10 * 60_000;

/** The server of the configuration; one inside this process, on a free loopback port with a key of its own, if there is none. */
export async function openBackend(config: Config, onProgress: OnProgress): Promise<SandboxBackend> {
  const { url, apiKey } = config.sandbox;
  if (url === undefined) return embed(config, onProgress);
  if (apiKey === undefined) {
    throw new WorkcellError(
      'invalid_config',
      'sandbox.url is set and sandbox.apiKey is not; set MSB_API_KEY or sandbox.apiKey to a key of that server',
    );
  }
  return { url, apiKey, [Symbol.asyncDispose]: async () => {} };
}

/** What runs programs on that server, in the language that the configuration says. Throws `invalid_config`. */
export function createExecutor(config: Config, backend: SandboxBackend): ProgramExecutor {
  const { image, cpus, memoryBytes, bootTimeoutMs, idleTimeoutMs, network, protocol, url } = config.sandbox;
  const sandbox = { image, cpus, memoryMib: Math.floor(memoryBytes / MIB) };
  const options = {
    url: backend.url,
    apiKey: backend.apiKey,
    sandbox,
    allow: network.allow,
    bootTimeoutMs,
    idleTimeoutMs,
  };
  if (protocol === 'cloud') return new SandboxExecutor(options);
  if (url !== undefined && network.allow.length > 0)
    throw new WorkcellError(
      'invalid_config',
      'sandbox.network.allow cannot be enforced on the server at sandbox.url: sandbox.protocol "rpc" knows no network policy; leave it out',
    );
  return new SandboxExecutor(options, new RpcSandboxes({ ...options, slots: join(config.paths.workspaces, '.rpc') }));
}

/** Makes everything that guests boot from. Throws `driver_unavailable` with what is missing and how to get it. */
export async function prepareDriver(driver: SandboxDriver, onProgress: OnProgress): Promise<void> {
  using deadline = new Deadline('Preparing the sandbox driver', PREPARE_TIMEOUT_MS);
  await driver.prepare(deadline, onProgress);
}

export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly hosts: readonly string[];
  readonly keys: readonly [KeySource, ...KeySource[]];
  /** Whether sandboxes outlive the server. */
  readonly keepsState: boolean;
  readonly budget: MemoryBudget;
  /** Serves more on the same port. */
  readonly routes?: SandboxServerOptions['routes'];
  /** Counts what the server does. */
  readonly metrics?: Metrics;
}

/** A Microsandbox server over the configured driver; bind mounts are allowed below the configured folders only. */
export async function serveSandboxes(
  config: Config,
  driver: SandboxDriver,
  { host, port, hosts, keys, keepsState, budget, routes, metrics }: ServeOptions,
): Promise<SandboxServer> {
  const { workspaces, servers, skills } = config.paths;
  const log = createLogger(config.log.level);
  const server = await SandboxServer.listen({
    driver,
    host,
    port,
    hosts,
    keys,
    volumes: join(workspaces, '.volumes'),
    bindRoots: [workspaces, servers, skills],
    images: config.sandbox.images,
    budget,
    bootTimeoutMs: config.sandbox.bootTimeoutMs,
    allow: config.sandbox.network.allow,
    onProblem: (error, requestId) => log.error({ err: error, requestId }, messageOf(error)),
    limits: {
      requestsPerSecond: config.server.requestsPerSecond,
      failedKeysPerMinute: config.server.failedKeysPerMinute,
    },
    onLimited: (limit) => metrics?.refused(limit),
    onStart: (boot, ms) => metrics?.sandboxStarted(driver.name, boot, ms),
    onAnswered: (answered) => {
      const { id: requestId, ...facts } = answered;
      const { method, route, status, ms } = facts;
      metrics?.requested({ method, route, status }, ms);
      log.info({ ...facts, requestId, ms: Math.round(ms) }, `${method} ${route} ${status}`);
    },
    ...(keepsState ? { state: serverFolder(config) } : {}),
    ...(routes === undefined ? {} : { routes }),
  });
  metrics?.watch({
    guests: () => server.countByState(),
    ...(driver.waiting === undefined
      ? {}
      : { pool: () => ({ waiting: driver.waiting ?? 0, size: config.sandbox.pool }) }),
  });
  return server;
}

/** What all guests of a server may have together: what is configured, or most of what the host has. */
export function openBudget({ sandbox }: Config): MemoryBudget {
  return new MemoryBudget(Math.floor((sandbox.memoryCeilingBytes ?? totalmem() * HOST_SHARE) / MIB));
}

/** The keys of the server of this configuration; it may run or not. */
export function openKeyStore(config: Config): KeyStore {
  return new KeyStore(serverFolder(config));
}

/** What a server keeps for itself: keys, and the state of its sandboxes. */
function serverFolder({ paths }: Config): string {
  return paths.server;
}

async function embed(config: Config, onProgress: OnProgress): Promise<SandboxBackend> {
  const cleanup = new Cleanup();
  try {
    const budget = openBudget(config);
    const driver = await createDriver(config, { budget });
    cleanup.add(async () => driver[Symbol.asyncDispose]());
    await prepareDriver(driver, onProgress);
    const apiKey = newSecret();
    const where = { host: '127.0.0.1', port: 0, hosts: [] };
    const server = await serveSandboxes(config, driver, { ...where, keys: [apiKey], keepsState: false, budget });
    cleanup.add(() => server.close());
    return { url: server.url, apiKey, [Symbol.asyncDispose]: () => cleanup.run() };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}
