import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import { Secret } from '../util/secret.ts';

/**
 * Keys of Microsandbox's JSON-RPC line: `msb_` and a JSON Web Token (RFC 7519) that is signed with HS256 and names the one
 * namespace that it is good for, or `*` for all. Source: microsandbox 0.2.6, `middleware.rs` and `management.rs`.
 */
export interface LegacyClaims {
  readonly namespace: string;
  /** Seconds since the epoch. */
  readonly exp: number;
  readonly iat: number;
}

export interface LegacyTokenOptions {
  readonly namespace: string;
  readonly expiresInMs: number;
  /** Milliseconds since the epoch. */
  readonly now?: number;
}

const PREFIX = 'msb_';
const HEADER = { alg: 'HS256', typ: 'JWT' };
const MAX_CHARS = 4096;

const headerSchema = z.object({ alg: z.literal('HS256'), typ: z.literal('JWT').optional() });
const claimsSchema = z.object({ namespace: z.string().min(1), exp: z.int(), iat: z.int() });

export function issueLegacyToken(options: LegacyTokenOptions, secret: Secret): Secret {
  const { namespace, expiresInMs, now = Date.now() } = options;
  const iat = Math.floor(now / 1000);
  const claims: LegacyClaims = { exp: iat + Math.ceil(expiresInMs / 1000), iat, namespace };
  const signed = `${encode(HEADER)}.${encode(claims)}`;
  return new Secret(`${PREFIX}${signed}.${signatureOf(signed, secret).toString('base64url')}`);
}

/**
 * What a token claims; undefined unless it was signed with `secret` by HS256 and nothing else, and has not expired. Nothing of
 * it is read before its signature is known to be good.
 */
export function verifyLegacyToken(token: string, secret: Secret, now: number = Date.now()): LegacyClaims | undefined {
  if (!token.startsWith(PREFIX) || token.length > MAX_CHARS) return undefined;
  const match = /^([\w-]+)\.([\w-]+)\.([\w-]{43})$/.exec(token.slice(PREFIX.length));
  if (match === null) return undefined;
  const [, header = '', claims = '', signature = ''] = match;
  const expected = signatureOf(`${header}.${claims}`, secret);
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  // The last of 43 characters has two bits to spare; only one spelling of a signature is good.
  if (given.toString('base64url') !== signature) return undefined;
  if (!headerSchema.safeParse(decode(header)).success) return undefined;
  const parsed = claimsSchema.safeParse(decode(claims));
  return parsed.success && parsed.data.exp * 1000 > now ? parsed.data : undefined;
}

/** The key of a JSON-RPC request: from `Proxy-Authorization` first, then `Authorization`, with `Bearer` or without. */
export function legacyCredential(headers: IncomingHttpHeaders): string | undefined {
  const header = headers['proxy-authorization'] ?? headers.authorization;
  const credential = header?.replace(/^Bearer +/i, '').trim();
  return credential === '' ? undefined : credential;
}

function signatureOf(text: string, secret: Secret): Buffer {
  return createHmac('sha256', secret.reveal()).update(text).digest();
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString());
  } catch {
    return undefined;
  }
}
