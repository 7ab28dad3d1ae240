import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { WorkcellError } from '../../core/errors.ts';
import {
  createSandboxQuerySchema,
  createSandboxSchema,
  listQuerySchema,
  type SandboxMetricsResponse,
  type SandboxResponse,
  startSandboxQuerySchema,
  updateSandboxSchema,
} from '../../protocol/rest.ts';
import type { SandboxRegistry } from '../registry.ts';
import type { Sandbox } from '../sandbox.ts';
import { type SpecReader, specReaderOf } from '../spec-view.ts';
import { findSandbox, parse } from './parse.ts';

const DEFAULT_WAIT_SECONDS = 60;
/** Requests that wait for a sandbox to start, at once. */
const MAX_WAITING = 1000;

/** `/v1/sandboxes`: every operation by id and by name. */
export function sandboxRoutes(app: FastifyInstance, registry: SandboxRegistry): void {
  const waiting = { count: 0 };

  app.post('/v1/sandboxes', async (request) => {
    const { start, wait_for, wait_timeout } = parse(createSandboxQuerySchema, request.query, 'query');
    if (wait_for !== undefined && !start)
      throw new WorkcellError('invalid_argument', 'The query field "wait_for" needs "start": nothing would happen');
    const spec = parse(createSandboxSchema, request.body, 'body');
    assertRoom(waiting, wait_for);
    const sandbox = await registry.create(request.principal, spec);
    if (start) registry.start(request.principal, sandbox);
    if (wait_for !== undefined) await wait(waiting, sandbox, wait_timeout);
    return sandbox.describe(readerOf(request));
  });

  app.get('/v1/sandboxes', async (request) => {
    const { cursor, limit, labels } = parse(listQuerySchema, request.query, 'query');
    const options = { cursor, limit, labels: parseLabels(labels), reader: readerOf(request) };
    return registry.list(request.principal, options);
  });

  app.patch('/v1/sandboxes/:id', async (request) => {
    const sandbox = findSandbox(registry, request);
    await registry.rename(request.principal, sandbox, parse(updateSandboxSchema, request.body, 'body'));
    return sandbox.describe(readerOf(request));
  });

  app.get('/v1/sandboxes/:id/metrics', async (request): Promise<SandboxMetricsResponse> => {
    const metrics = await findSandbox(registry, request).metrics();
    if (metrics !== undefined) return { cpu_ms: metrics.cpuMs };
    throw new WorkcellError('invalid_state', 'The sandbox does not run, so nothing can be measured; start it first');
  });

  for (const path of ['/v1/sandboxes/by-name/:name', '/v1/sandboxes/:id']) {
    app.get(path, async (request) => findSandbox(registry, request).describe(readerOf(request)));

    app.delete(path, async (request) => {
      await registry.remove(request.principal, findSandbox(registry, request));
      return { message: 'sandbox destroyed' };
    });

    app.post(`${path}/start`, async (request) => {
      const { wait_for, wait_timeout } = parse(startSandboxQuerySchema, request.query, 'query');
      const sandbox = findSandbox(registry, request);
      assertRoom(waiting, wait_for);
      registry.start(request.principal, sandbox);
      if (wait_for !== undefined) await wait(waiting, sandbox, wait_timeout);
      return sandbox.describe(readerOf(request));
    });

    app.post(`${path}/stop`, async (request): Promise<SandboxResponse> => {
      const sandbox = findSandbox(registry, request);
      await sandbox.stop(request.principal);
      return sandbox.describe(readerOf(request));
    });
  }
}

interface Waiting {
  count: number;
}

/** Before anything has happened: who is refused here has created nothing. */
function assertRoom(waiting: Waiting, waitFor: unknown): void {
  if (waitFor === undefined || waiting.count < MAX_WAITING) return;
  throw new WorkcellError('busy', 'Too many requests wait for sandboxes; try again, or ask without "wait_for"');
}

/** The end of the wait is not the end of the start: the answer then says `starting`. */
async function wait(waiting: Waiting, sandbox: Sandbox, seconds = DEFAULT_WAIT_SECONDS): Promise<void> {
  waiting.count += 1;
  try {
    await sandbox.waitUntilStarted(seconds * 1000);
  } finally {
    waiting.count -= 1;
  }
}

function readerOf(request: FastifyRequest): SpecReader {
  return specReaderOf(request.headers['user-agent']);
}

function parseLabels(text: string | undefined): Record<string, string> {
  if (text === undefined) return {};
  try {
    return parse(z.record(z.string(), z.string()), JSON.parse(text), 'query');
  } catch (cause) {
    throw new WorkcellError('invalid_argument', 'The query field "labels" must be a JSON object of strings', { cause });
  }
}
