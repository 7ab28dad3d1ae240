import { MAX_FRAME_BYTES } from '../protocol/agent-frames.ts';

/** What one client may ask of the HTTP server, before anything is known of it. */
export interface HttpLimits {
  /** Of a body that is read as a whole. */
  readonly bodyBytes: number;
  /** Of the request line and all headers together. */
  readonly headerBytes: number;
  readonly urlChars: number;
  /** From the first byte of a request to the end of its headers. */
  readonly headersTimeoutMs: number;
  /** For a body, on top of what it earns by its {@link bodyBytesPerSecond}. */
  readonly bodyTimeoutMs: number;
  readonly bodyBytesPerSecond: number;
  readonly connections: number;
  /** Of one WebSocket message, whose boundaries mean nothing; it may hold more than one frame. */
  readonly messageBytes: number;
  /** Fragments of one WebSocket message. */
  readonly messageFragments: number;
  /** Of one key, on average; twice as many in one second. */
  readonly requestsPerSecond: number;
  /** Keys that are not good, from one address. */
  readonly failedKeysPerMinute: number;
}

const KIB = 1024;

export const HTTP_LIMITS: HttpLimits = {
  bodyBytes: 1024 * KIB,
  headerBytes: 16 * KIB,
  urlChars: 8 * KIB,
  headersTimeoutMs: 10_000,
  bodyTimeoutMs: 30_000,
  bodyBytesPerSecond: 16 * KIB,
  connections: 4096,
  messageBytes: 2 * MAX_FRAME_BYTES,
  messageFragments: 1024,
  requestsPerSecond: 500,
  failedKeysPerMinute: 600,
};
