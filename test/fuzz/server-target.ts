import { Agent, request } from 'undici';
import { z } from 'zod';
import { problemSchema } from '../../src/http/schemas/problem.ts';
import { errorResponseSchema } from '../../src/protocol/rest.ts';
import { openQuietServer } from '../support/quiet-server.ts';
import { API_KEY } from '../support/sandbox-server.ts';
import type { Random } from '../unit/random.ts';
import { mutateBytes, mutateJson } from './mutate.ts';

/** The original's below its own paths, and a problem document elsewhere, where a changed path may lead. */
const failureSchema = z.union([errorResponseSchema, problemSchema]);

/** A call of which parts are changed. To fuzz another route, add it to those that {@link openServerTarget} gets. */
export interface SeedCall {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
}

/** Sends calls to a real server over HTTP: every answer is one of the API's, and no failure is the server's own. */
export async function openServerTarget(
  calls: readonly [SeedCall, ...SeedCall[]],
  stack: AsyncDisposableStack,
): Promise<(random: Random) => Promise<void>> {
  const { url } = stack.use(await openQuietServer());
  const dispatcher = stack.adopt(new Agent({ connections: 1 }), (agent) => agent.close());
  return async (random) => {
    const { method, path, body } = random.pick(calls);
    const answer = await request(`${url}${mutatePath(path, random)}`, {
      method,
      dispatcher,
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: body === undefined ? null : mutateBody(body, random),
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 500) throw new Error(`${method} ${path} was answered with ${answer.statusCode}: ${text}`);
    if (answer.statusCode >= 400) failureSchema.parse(JSON.parse(text));
  };
}

function mutatePath(path: string, random: Random): string {
  if (random.next() < 0.7) return path;
  const text = Buffer.from(mutateBytes(Buffer.from(path), random)).toString();
  return `/${encodeURI(text.toWellFormed()).replace(/^\/|#.*$/g, '')}`;
}

/** Mostly JSON, so that it gets as far as the routes. */
function mutateBody(body: unknown, random: Random): string | Uint8Array {
  const text = JSON.stringify(mutateJson(body, random));
  return random.next() < 0.8 ? text : mutateBytes(Buffer.from(text), random);
}
