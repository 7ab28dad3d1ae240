import type { FastifyInstance, FastifyRequest } from 'fastify';
import { findCustomerOf } from '../core/customer-of.ts';

/**
 * Remembers which methods each path takes, of routes that are added after this. What is returned tells those of the path of a
 * request, which no route has taken: none where there is nothing, or nothing that the principal may know of.
 */
export function allowedMethods(app: FastifyInstance): (request: FastifyRequest) => readonly string[] {
  const methodsByPattern = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ method, url }) => {
    const methods = methodsByPattern.get(url) ?? new Set();
    methodsByPattern.set(url, methods);
    for (const each of [method].flat()) methods.add(each);
  });
  return ({ url, principal }) => {
    const [path = ''] = url.split('?');
    const customer = /^\/customers\/([^/]+)/.exec(path)?.[1];
    // Whether there is that customer makes no difference, so that nobody learns of it.
    if (customer !== undefined && findCustomerOf(principal, decodeURIComponent(customer)) === undefined) return [];
    const fitting = [...methodsByPattern].filter(([pattern]) => fits(pattern, path));
    const allowed = new Set(fitting.flatMap(([, methods]) => [...methods]));
    return [...allowed].toSorted();
  };
}

/** Whether a path, as it was sent, is one of a pattern such as `/a/:b/*`. */
function fits(pattern: string, path: string): boolean {
  const [parts, wanted] = [path.split('/'), pattern.split('/')];
  if (wanted.at(-1) === '*' ? parts.length < wanted.length : parts.length !== wanted.length) return false;
  return wanted.every((part, n) => part === parts[n] || part === '*' || (part.startsWith(':') && parts[n] !== ''));
}
