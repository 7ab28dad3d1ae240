import type { Config } from '../config/config.ts';
import type { Secret } from '../util/secret.ts';
import type { SandboxBackend } from './sandbox-backend.ts';

/** A backend that is told of later: where it listens is known only when what uses it is there. */
export interface OwnBackend {
  /** For `WorkcellOptions.backend`; undefined when the configuration names a server, which then runs the programs. */
  readonly backend: (() => Promise<SandboxBackend>) | undefined;
  readonly listensAt: (url: string) => void;
}

/** The server that serves the cell, as its backend; what ends it is not the cell. */
export function ownBackend({ sandbox }: Config, apiKey: Secret): OwnBackend {
  const { promise, resolve } = Promise.withResolvers<string>();
  const backend = async () => ({ url: await promise, apiKey, [Symbol.asyncDispose]: async () => {} });
  return {
    backend: sandbox.url === undefined ? backend : undefined,
    listensAt: (url) => resolve(url.replace('//[::]:', '//[::1]:')),
  };
}
