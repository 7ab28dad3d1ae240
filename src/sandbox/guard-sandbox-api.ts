import type { FastifyInstance } from 'fastify';
import { WorkcellError } from '../core/errors.ts';
import { assertScope, type Principal, type Scope } from '../core/principal.ts';

/** What a key must be good for, all of it: who has a sandbox reads, runs and writes in it. */
const SCOPES: readonly Scope[] = ['read', 'execute', 'files'];

/**
 * Keeps keys of customers out of all routes of this plugin: sandboxes and volumes are an organisation's, and no customer may
 * reach another's by them. Answers are in the form of each API.
 */
export function guardSandboxApi(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ routeOptions, principal }) => {
    if (routeOptions.config.access !== 'anyone') assertMayUseSandboxes(principal);
  });
}

/** Throws `forbidden`. */
export function assertMayUseSandboxes(principal: Principal): void {
  if (principal.role === 'customer')
    throw new WorkcellError(
      'forbidden',
      "A customer's API key is not good for the sandbox API; use /customers/{customer}",
    );
  for (const scope of SCOPES) assertScope(principal, scope);
}
