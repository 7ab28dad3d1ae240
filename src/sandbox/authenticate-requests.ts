import type { FastifyInstance } from 'fastify';
import type { Principal } from '../core/principal.ts';
import { AccessWatch } from './access-watch.ts';
import type { Authenticator } from './authenticator.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any route runs. */
    principal: Principal;
  }
  interface FastifyContextConfig {
    /** Who may call a route. Default `key`; `legacy`: also with the keys of the JSON-RPC line; `anyone`: without a key. */
    readonly access?: 'key' | 'legacy' | 'anyone';
  }
}

/** Lets no request reach a route, or learn that there is none, before it is known whom it comes from: `request.principal`. */
export function authenticateRequests(app: FastifyInstance, authenticator: Authenticator): void {
  const access = new AccessWatch(authenticator);
  app.decorateRequest('principal');
  app.addHook('onRequest', async (request, reply) => {
    const { access: wanted = 'key' } = request.routeOptions.config;
    if (wanted === 'anyone') return;
    const { headers } = request;
    request.principal =
      wanted === 'legacy' ? await authenticator.authenticateLegacy(headers) : await authenticator.authenticate(headers);
    access.watch(request, reply);
  });
  app.addHook('onClose', () => access[Symbol.dispose]());
}
