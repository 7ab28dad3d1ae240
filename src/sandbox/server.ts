import websocket from '@fastify/websocket';
import { type FastifyInstance, fastify } from 'fastify';
import { MAX_FRAME_BYTES } from '../protocol/agent-frames.ts';
import type { Secret } from '../util/secret.ts';
import { toErrorResponse } from './api-error.ts';
import { authenticate } from './auth.ts';
import type { SandboxDriver } from './driver.ts';
import { SandboxRegistry } from './registry.ts';
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
  /** Who has one of these may do everything. There is no way to run without. */
  readonly keys: readonly [Secret, ...Secret[]];
  /** Folder of the named volumes. */
  readonly volumes: string;
  /** Folders of the host below which bind mounts are allowed. Default none. */
  readonly bindRoots?: readonly string[];
  /** Names of images, and the folders of the host that they stand for. Default none beside `host`. */
  readonly images?: Readonly<Record<string, string>>;
  /** How long a guest may take to start. */
  readonly bootTimeoutMs: number;
}

const BODY_BYTES = 1024 * 1024;
const ORG_ID = '00000000-0000-4000-8000-000000000001';

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
    const { driver, keys, bindRoots = [], images = {}, bootTimeoutMs } = options;
    const volumes = new VolumeStore(options.volumes);
    const registry = new SandboxRegistry({ driver, volumes, bindRoots, images, bootTimeoutMs, orgId: ORG_ID });
    const app = fastify({ bodyLimit: BODY_BYTES, forceCloseConnections: true });
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
    app.addHook('onRequest', async (request) => authenticate(request.headers.authorization, keys));
    await app.register(websocket, { options: { maxPayload: MAX_FRAME_BYTES * 2, perMessageDeflate: false } });
    // Within a plugin of its own, because the routes must come after the WebSocket support is in place.
    await app.register(async (routes) => {
      sandboxRoutes(routes, registry);
      volumeRoutes(routes, volumes);
      agentRoute(routes, registry);
    });
    const url = await app.listen({ host: options.host ?? '127.0.0.1', port: options.port ?? 0 });
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
