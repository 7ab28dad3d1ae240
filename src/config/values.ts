import { z } from 'zod';
import type { ApprovalPolicy } from '../core/approval.ts';
import { messageOf } from '../core/errors.ts';
import { parseAllowList } from '../core/network-policy.ts';
import { parseDuration, parseSize } from '../core/units.ts';
import { keyBytes } from '../util/key-bytes.ts';
import { Secret } from '../util/secret.ts';

// What one key of the configuration can hold. Numbers and switches may come as text: from the environment, from flags, and
// from variables in the file.

type Value<T> = z.ZodPipe<z.ZodUnknown, z.ZodTransform<T, unknown>>;

/** Text that is not empty. */
export const text = z.string({ error: 'must be text; put it in quotes' }).min(1, 'must not be empty');
/** Text that prints as `[redacted]`. */
export const secret = text.transform((value) => new Secret(value));
/** A key of 32 bytes, as hex or base64. */
export const key = text
  .refine(
    (value) => keyBytes(value) !== undefined,
    'must be 32 bytes as hex or base64, as `openssl rand -base64 32` gives',
  )
  .transform((value) => new Secret(value));
/** Milliseconds. */
export const duration = leaf((value) => parseDuration(scalar(value)));
/** Bytes. */
export const size = leaf((value) => parseSize(scalar(value)));
export const switchValue = leaf(parseBoolean);
/** An http or https URL without credentials in it, as it was written. */
export const url = leaf(parseUrl);
/** An entry of what programs may reach, as it was written. */
export const destination = leaf(parseDestination);
/** `never`, `always`, or a list of patterns. */
export const approvalPolicy = leaf(parseApprovalPolicy);
/** A number from 0 to 1. */
export const share = leaf(parseShare);

/** One of the names. */
export function choice<const Name extends string>(names: readonly Name[]): Value<Name> {
  return leaf((value) => {
    const chosen = names.find((name) => name === value);
    if (chosen !== undefined) return chosen;
    throw new Error(`must be one of ${names.join(', ')}`);
  });
}

function leaf<T>(parse: (value: unknown) => T): Value<T> {
  return z.unknown().transform((value, context) => {
    try {
      return parse(value);
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) });
      return z.NEVER;
    }
  });
}

function scalar(value: unknown): string | number {
  if (typeof value === 'number' || (typeof value === 'string' && value.trim() !== '')) return value;
  throw new Error('must be text or a number, and not empty');
}

/** A whole number within bounds. */
export function whole(min: number, max: number): Value<number> {
  return leaf((value) => {
    const number = Number(scalar(value));
    if (Number.isInteger(number) && number >= min && number <= max) return number;
    throw new Error(`must be a whole number from ${min} to ${max}`);
  });
}

function parseShare(value: unknown): number {
  const number = Number(scalar(value));
  if (number >= 0 && number <= 1) return number;
  throw new Error('must be a number from 0 to 1');
}

function parseBoolean(value: unknown): boolean {
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw new Error('must be true or false');
}

function parseUrl(value: unknown): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw new Error('must be an http:// or https:// URL');
  if (url.username !== '' || url.password !== '') {
    throw new Error('must not hold a user name or password; put credentials into "headers" or "apiKey"');
  }
  return String(value);
}

function parseDestination(value: unknown): string {
  if (typeof value !== 'string') throw new Error('must be text; put it in quotes');
  parseAllowList([value]);
  return value;
}

function parseApprovalPolicy(value: unknown): ApprovalPolicy {
  if (value === 'never' || value === 'always') return value;
  const isPattern = (each: unknown): each is string => typeof each === 'string' && each.trim() !== '';
  if (Array.isArray(value) && value.every(isPattern)) return value;
  throw new Error('must be never, always, or a list of tools such as ["delete_*"]');
}
