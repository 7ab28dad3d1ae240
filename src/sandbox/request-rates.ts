import type { IncomingHttpHeaders } from 'node:http';
import { isIPv6 } from 'node:net';
import { WorkcellError } from '../core/errors.ts';
import type { Principal } from '../core/principal.ts';
import { RecentMap } from '../util/recent-map.ts';
import { TokenBucket } from '../util/token-bucket.ts';
import type { HttpLimits } from './http-limits.ts';
import { hashOf } from './key-file.ts';

export interface RequestRatesOptions {
  readonly limits: Pick<HttpLimits, 'requestsPerSecond' | 'failedKeysPerMinute'>;
  /** Told of each refusal: the name of the limit. */
  readonly onRefused?: ((limit: string) => void) | undefined;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

/** Whom a request says that it comes from, before that is looked at. */
export interface Attempt {
  readonly address: string | undefined;
  readonly headers: Pick<IncomingHttpHeaders, 'authorization' | 'proxy-authorization'>;
}

/** Addresses, and keys, that are remembered at most. */
const REMEMBERED = 10_000;
/** What a key may send at once, in seconds of its rate. */
const BURST_SECONDS = 2;
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/**
 * How often keys may be tried from one address, and how many requests one key may send.
 *
 * Whoever guesses is soon not looked at any more, right or wrong. Others behind the same address go on: a key that has been good
 * lately is tried all the same. Nobody can make this remember more than a fixed number of keys and addresses.
 */
export class RequestRates {
  readonly #options: RequestRatesOptions;
  readonly #failures = new RecentMap<string, TokenBucket>(REMEMBERED);
  readonly #requests = new RecentMap<string, TokenBucket>(REMEMBERED);
  /** Hashes of what has been good. */
  readonly #good = new RecentMap<string, true>(REMEMBERED);

  constructor(options: RequestRatesOptions) {
    this.#options = options;
  }

  /** Throws `quota_exceeded` when too many wrong keys came from there. */
  assertMayTry({ address, headers }: Attempt): void {
    const credential = credentialOf(headers);
    const bucket = this.#failures.find(networkOf(address));
    if (credential === undefined || bucket === undefined || bucket.waitMs === 0) return;
    if (this.#good.find(hashOf(credential)) !== undefined) return;
    const { failedKeysPerMinute: limit } = this.#options.limits;
    throw this.#refusal(
      'failedKeysPerMinute',
      limit,
      bucket.waitMs,
      'Too many API keys from this address were not valid',
    );
  }

  /** A key was tried, and was not good. A request without one tries nothing. */
  failed({ address, headers }: Attempt): void {
    const credential = credentialOf(headers);
    if (credential === undefined) return;
    this.#good.delete(hashOf(credential));
    const { failedKeysPerMinute: capacity } = this.#options.limits;
    const bucket = this.#bucket(this.#failures, networkOf(address), capacity, MINUTE_MS / capacity);
    if (bucket.waitMs === 0) bucket.take();
  }

  /**
   * A key was tried, and is good. Throws `quota_exceeded` when it has sent too many requests; those of the server's own
   * administrator are not counted.
   */
  admit({ headers }: Attempt, { keyId, namespace }: Principal): void {
    const credential = credentialOf(headers);
    if (credential !== undefined) this.#good.set(hashOf(credential), true);
    const id = keyId ?? namespace;
    if (id === undefined) return;
    const { requestsPerSecond: limit } = this.#options.limits;
    const bucket = this.#bucket(this.#requests, id, limit * BURST_SECONDS, SECOND_MS / limit);
    if (bucket.waitMs > 0)
      throw this.#refusal('requestsPerSecond', limit, bucket.waitMs, 'The API key sends too many requests');
    bucket.take();
  }

  #bucket(buckets: RecentMap<string, TokenBucket>, key: string, capacity: number, refillMs: number): TokenBucket {
    const { now } = this.#options;
    const known = buckets.find(key);
    if (known !== undefined) return known;
    const bucket = new TokenBucket({ capacity, refillMs, ...(now === undefined ? {} : { now }) });
    buckets.set(key, bucket);
    return bucket;
  }

  #refusal(quota: string, limit: number, retryAfterMs: number, what: string): WorkcellError {
    this.#options.onRefused?.(quota);
    return new WorkcellError('quota_exceeded', `${what}; wait, and try again`, {
      details: { quota, limit, retryAfterMs },
    });
  }
}

/** An address of version 6 is one of the 2^64 that its owner has. */
export function networkOf(address = ''): string {
  const plain = address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '');
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.toLowerCase().split('::');
  const parts = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - parts.length - after.length;
  return [...parts, ...Array<string>(Math.max(0, missing)).fill('0'), ...after]
    .slice(0, 4)
    .map((part) => Number.parseInt(part, 16).toString(16))
    .join(':');
}

function credentialOf(headers: Attempt['headers']): string | undefined {
  const sent = `${headers.authorization ?? ''}${headers['proxy-authorization'] ?? ''}`;
  return sent === '' ? undefined : sent;
}
