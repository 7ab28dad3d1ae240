import type { FastifyInstance } from 'fastify';
import { WorkcellError } from '../core/errors.ts';
import type { HttpContext } from './define-route.ts';

/**
 * What those who run the server look at. `/healthz`: the process answers. `/readyz`: it takes new work, or 503. Both are for
 * anybody, as load balancers have no key. `/metrics`: numbers for Prometheus, with an administrator's key.
 */
export function operationsRoutes(app: FastifyInstance, { cell, readiness }: HttpContext): void {
  const config = { access: 'anyone' } as const;
  app.get('/healthz', { config }, async () => ({ status: 'ok' }));
  app.get('/readyz', { config }, async (_request, reply) => {
    const report = await readiness.report();
    return reply
      .status(report.ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send(report);
  });
  app.get('/metrics', async ({ principal }, reply) => {
    if (principal.role !== 'administrator') throw new WorkcellError('forbidden', 'Metrics are for administrators');
    return reply.type(cell.metrics.contentType).send(await cell.metrics.text());
  });
}
