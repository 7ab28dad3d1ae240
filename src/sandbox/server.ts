import websocket from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import { toErrorResponse } from './api-error.ts';
import { authenticateRequests } from './authenticate-requests.ts';
import { Authenticator, type KeySource } from './authenticator.ts';
import type { SandboxDriver } from './driver.ts';
import { createHttpApp } from './http-app.ts';
import { HTTP_LIMITS, type HttpLimits } from './http-limits.ts';
import { KeyStore } from './key-store.ts';
import { DEFAULT_ORGANISATION } from './principal.ts';
import { SandboxRegistry } from './registry.ts';
import { guardRequests } from './request-guard.ts';
import { agentRoute } from './routes/agent.ts';
import { sandboxRoutes } from './routes/sandboxes.ts';
import { volumeRoutes } from './routes/volumes.ts';
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
  /** How long a guest may take to start. */
  readonly bootTimeoutMs: number;
}

/**
 * A Microsandbox server: the cloud API of superradcompany/microsandbox over guests of one driver.
 *
 * It ends every guest that it has started when it is closed.
 */
export class SandboxServer implements AsyncDisposable {
  /** `http://127.0.0.1:5555` */
  readonly url: string;
  readonly #app: FastifyInstance;
  readonly #registry: SandboxRegistry;
  #closing: Promise<void> | undefined;

  private constructor(url: string, app: FastifyInstance, registry: SandboxRegistry) {
    this.url = url;
    this.#app = app;
    this.#registry = registry;
  }

  static async listen(options: SandboxServerOptions): Promise<SandboxServer> {
    const { driver, keys, bindRoots = [], bootTimeoutMs, host = '127.0.0.1', hosts = [] } = options;
    const limits = { ...HTTP_LIMITS, ...options.limits };
    const closedFolders = keys.filter((source) => source instanceof KeyStore).map(({ folder }) => folder);
    const volumes = new VolumeStore(options.volumes);
    const registry = new SandboxRegistry({
      driver,
      volumes,
      bindRoots,
      closedFolders,
      bootTimeoutMs,
      orgId: DEFAULT_ORGANISATION.id,
    });
    const app = createHttpApp(limits);
    // Clients announce JSON with requests that have no body, too.
    const parseJson = app.getDefaultJsonParser('error', 'error');
    app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
      if (body === '') done(null, undefined);
      else parseJson(request, String(body), done);
    });
    app.setErrorHandler((error, _request, reply) => {
      const { status, body } = toErrorResponse(error);
      void reply.status(status).send(body);
    });
    app.setNotFoundHandler((request, reply) => {
      void reply
        .status(404)
        .send({ error: { code: 'not_found', message: `There is no ${request.method} ${request.url}`, details: null } });
    });
    guardRequests(app, { host, hosts, limits });
    await app.register(websocket, {
      options: { maxPayload: limits.messageBytes, maxFragments: limits.messageFragments, perMessageDeflate: false },
    });
    authenticateRequests(app, new Authenticator(keys));
    // Within a plugin of its own, because the routes must come after the WebSocket support is in place.
    await app.register(async (routes) => {
      sandboxRoutes(routes, registry);
      volumeRoutes(routes, volumes);
      agentRoute(routes, registry);
    });
    const url = await app.listen({ host, port: options.port ?? 0 });
    return new SandboxServer(url, app, registry);
  }

  /** Refuses new work, ends all guests, closes the port. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#registry[Symbol.asyncDispose]();
    await this.#app.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
