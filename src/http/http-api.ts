import type { FastifyInstance } from 'fastify';
import type { HttpContext, Route } from './define-route.ts';
import { docsPage } from './docs-page.ts';
import { openApiDocument } from './openapi.ts';
import { operationsRoutes } from './operations.ts';
import { registerRoutes } from './register-routes.ts';
import { approvalRoutes } from './routes/approvals.ts';
import { customerRoutes } from './routes/customers.ts';
import { executionRoutes } from './routes/executions.ts';
import { fileRoutes } from './routes/files.ts';
import { keyRoutes } from './routes/keys.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { skillRoutes } from './routes/skills.ts';
import { snapshotRoutes } from './routes/snapshots.ts';
import { toolRoutes } from './routes/tools.ts';
import { usageRoutes } from './routes/usage.ts';

const RESOURCES: readonly ((context: HttpContext) => readonly Route[])[] = [
  customerRoutes,
  executionRoutes,
  approvalRoutes,
  sessionRoutes,
  fileRoutes,
  snapshotRoutes,
  toolRoutes,
  skillRoutes,
  keyRoutes,
  usageRoutes,
];

/** All routes of the API for customers. */
export function httpRoutes(context: HttpContext): readonly Route[] {
  return RESOURCES.flatMap((routesOf) => routesOf(context));
}

/** The API for customers, for `SandboxServerOptions.routes`; it describes itself at `/openapi.json` and `/docs`. */
export function httpApi(context: HttpContext, version: string): (app: FastifyInstance) => Promise<void> {
  const routes = httpRoutes(context);
  const document = openApiDocument(routes, version);
  const json = JSON.stringify(document);
  const html = docsPage(document);
  return async (app) => {
    operationsRoutes(app, context);
    await registerRoutes(app, routes, context);
    const { config } = { config: { access: 'anyone' } } as const;
    app.get('/openapi.json', { config }, (_request, reply) => reply.type('application/json').send(json));
    app.get('/docs', { config }, (_request, reply) =>
      reply.type('text/html; charset=utf-8').headers(PAGE_HEADERS).send(html),
    );
  };
}

const PAGE_HEADERS = {
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
};
