import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import type { OnProgress, SandboxDriver } from '../sandbox/driver.ts';
import { MicrosandboxDriver } from '../sandbox/drivers/microsandbox/driver.ts';
import { QemuDriver } from '../sandbox/drivers/qemu/driver.ts';
import { SandboxServer } from '../sandbox/server.ts';
import { Cleanup } from '../util/cleanup.ts';
import { Deadline } from '../util/deadline.ts';
import { Secret } from '../util/secret.ts';

/** A Microsandbox server that programs can be sent to. */
export interface SandboxBackend extends AsyncDisposable {
  readonly url: string;
  readonly apiKey: Secret;
}

export const MIB: number = 1024 * 1024;
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

/** The driver of the configuration. `auto` takes the best one that can run here; there is one so far. */
export async function createDriver({ paths, sandbox }: Config): Promise<SandboxDriver> {
  const { driver, template, cpus, memoryBytes } = sandbox;
  switch (driver) {
    case 'auto':
    case 'qemu':
      return QemuDriver.create({
        cache: paths.cache,
        template,
        defaults: { cpus, memoryMib: Math.floor(memoryBytes / MIB) },
      });
    case 'microsandbox':
      return new MicrosandboxDriver({ cache: paths.cache });
    case 'bubblewrap':
      throw new WorkcellError('driver_unavailable', `The driver "${driver}" is not part of this build`);
    default:
      return driver satisfies never;
  }
}

/** Makes everything that guests boot from. Throws `driver_unavailable` with what is missing and how to get it. */
export async function prepareDriver(driver: SandboxDriver, onProgress: OnProgress): Promise<void> {
  using deadline = new Deadline('Preparing the sandbox driver', PREPARE_TIMEOUT_MS);
  await driver.prepare(deadline, onProgress);
}

export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly apiKey: Secret;
}

/** A Microsandbox server over the configured driver; bind mounts are allowed below the configured folders only. */
export async function serveSandboxes(
  config: Config,
  driver: SandboxDriver,
  { host, port, apiKey }: ServeOptions,
): Promise<SandboxServer> {
  const { workspaces, servers, skills } = config.paths;
  return SandboxServer.listen({
    driver,
    host,
    port,
    keys: [apiKey],
    volumes: join(workspaces, '.volumes'),
    bindRoots: [workspaces, servers, skills],
    images: config.sandbox.images,
    bootTimeoutMs: config.sandbox.bootTimeoutMs,
  });
}

/** A key in the form that Microsandbox clients expect. */
export function newApiKey(): Secret {
  return new Secret(`msb_${randomBytes(24).toString('hex')}`);
}

async function embed(config: Config, onProgress: OnProgress): Promise<SandboxBackend> {
  const cleanup = new Cleanup();
  try {
    const driver = await createDriver(config);
    cleanup.add(async () => driver[Symbol.asyncDispose]());
    await prepareDriver(driver, onProgress);
    const apiKey = newApiKey();
    const server = await serveSandboxes(config, driver, { host: '127.0.0.1', port: 0, apiKey });
    cleanup.add(() => server.close());
    return { url: server.url, apiKey, [Symbol.asyncDispose]: () => cleanup.run() };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}
