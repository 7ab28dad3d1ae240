import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '../core/principal.ts';
import type { Authenticator } from './authenticator.ts';

/** A key that was revoked loses what it has open after at most this long, and the time that one look at the keys takes. */
const CHECK_INTERVAL_MS = 200;

/**
 * Ends what is open, agent connections and streams of logs above all, as soon as the key that opened it is revoked or expires.
 * It looks at the keys only while something is open.
 */
export class AccessWatch implements Disposable {
  readonly #authenticator: Authenticator;
  readonly #open = new Map<() => void, Principal>();
  #timer: NodeJS.Timeout | undefined;

  constructor(authenticator: Authenticator) {
    this.#authenticator = authenticator;
  }

  /** Closes the connection of a request when its key stops to be good before the answer is complete. */
  watch(request: FastifyRequest, reply: FastifyReply): void {
    const { socket } = request.raw;
    const forget = this.onRevoked(request.principal, () => socket.destroy());
    // The answer to an upgrade is complete when its connection is gone.
    if (request.ws) socket.once('close', forget);
    else reply.raw.once('close', forget);
  }

  /** Calls `end` once, when the principal's key is not good any more, unless what is returned was called before. */
  onRevoked(principal: Principal, end: () => void): () => void {
    if (principal.keyId === undefined) return () => {};
    const entry = () => end();
    this.#open.set(entry, principal);
    this.#timer ??= setTimeout(() => void this.#check(), CHECK_INTERVAL_MS).unref();
    return () => this.#open.delete(entry);
  }

  async #check(): Promise<void> {
    for (const [end, principal] of this.#open) {
      // Keys that cannot be read let nobody in, and nobody stay.
      if (await this.#authenticator.isActive(principal).catch(() => false)) continue;
      if (this.#open.delete(end)) end();
    }
    this.#timer = this.#open.size === 0 ? undefined : setTimeout(() => void this.#check(), CHECK_INTERVAL_MS).unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#open.clear();
  }
}
