import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { WorkcellError } from '../../core/errors.ts';
import {
  createSandboxQuerySchema,
  createSandboxSchema,
  listQuerySchema,
  type SandboxResponse,
} from '../../protocol/rest.ts';
import type { SandboxRegistry } from '../registry.ts';
import type { Sandbox } from '../sandbox.ts';
import { parse } from './parse.ts';

const DEFAULT_WAIT_SECONDS = 60;

/** `/v1/sandboxes`: every operation by id and by name. */
export function sandboxRoutes(app: FastifyInstance, registry: SandboxRegistry): void {
  app.post('/v1/sandboxes', async (request) => {
    const query = parse(createSandboxQuerySchema, request.query, 'query');
    const sandbox = await registry.create(parse(createSandboxSchema, request.body, 'body'));
    if (!query.start) return sandbox.describe();
    await sandbox.start();
    if (query.wait_for !== undefined)
      await sandbox.waitUntilStarted((query.wait_timeout ?? DEFAULT_WAIT_SECONDS) * 1000);
    return sandbox.describe();
  });

  app.get('/v1/sandboxes', async (request) => {
    const { cursor, limit, labels } = parse(listQuerySchema, request.query, 'query');
    return registry.list({ cursor, limit, labels: parseLabels(labels) });
  });

  const byId = (params: unknown): Sandbox => registry.get(parse(z.object({ id: z.string() }), params, 'path').id);
  const byName = (params: unknown): Sandbox =>
    registry.getByName(parse(z.object({ name: z.string() }), params, 'path').name);
  for (const [path, find] of [
    ['/v1/sandboxes/by-name/:name', byName],
    ['/v1/sandboxes/:id', byId],
  ] as const) {
    app.get(path, async (request) => find(request.params).describe());
    app.delete(path, async (request) => {
      await registry.remove(find(request.params));
      return { message: 'sandbox destroyed' };
    });
    app.post(`${path}/start`, async (request) => start(find(request.params)));
    app.post(`${path}/stop`, async (request) => stop(find(request.params)));
  }
}

async function start(sandbox: Sandbox): Promise<SandboxResponse> {
  await sandbox.start();
  return sandbox.describe();
}

async function stop(sandbox: Sandbox): Promise<SandboxResponse> {
  await sandbox.stop();
  return sandbox.describe();
}

function parseLabels(text: string | undefined): Record<string, string> {
  if (text === undefined) return {};
  try {
    return parse(z.record(z.string(), z.string()), JSON.parse(text), 'query');
  } catch (cause) {
    throw new WorkcellError('invalid_argument', 'The query field "labels" must be a JSON object of strings', { cause });
  }
}
