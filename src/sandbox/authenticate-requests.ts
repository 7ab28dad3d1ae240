import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isWorkcellError } from '../core/errors.ts';
import type { Principal } from '../core/principal.ts';
import { AccessWatch } from './access-watch.ts';
import type { Authenticator } from './authenticator.ts';
import type { RequestRates } from './request-rates.ts';

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
export function authenticateRequests(app: FastifyInstance, authenticator: Authenticator, rates: RequestRates): void {
  const access = new AccessWatch(authenticator);
  app.decorateRequest('principal');
  app.addHook('onRequest', async (request, reply) => {
    const { access: wanted = 'key' } = request.routeOptions.config;
    if (wanted === 'anyone') return;
    try {
      request.principal = await identify(request, wanted, authenticator, rates);
    } catch (error) {
      const { retryAfterMs } = isWorkcellError(error) ? error.details : {};
      if (typeof retryAfterMs === 'number') void reply.header('retry-after', Math.ceil(retryAfterMs / 1000));
      throw error;
    }
    access.watch(request, reply);
  });
  app.addHook('onClose', () => access[Symbol.dispose]());
}

async function identify(
  { headers, socket }: FastifyRequest,
  wanted: 'key' | 'legacy',
  authenticator: Authenticator,
  rates: RequestRates,
): Promise<Principal> {
  const attempt = { address: socket.remoteAddress, headers };
  rates.assertMayTry(attempt);
  try {
    const principal =
      wanted === 'legacy' ? await authenticator.authenticateLegacy(headers) : await authenticator.authenticate(headers);
    rates.admit(attempt, principal);
    return principal;
  } catch (error) {
    if (isWorkcellError(error) && error.code === 'unauthenticated') rates.failed(attempt);
    throw error;
  }
}
