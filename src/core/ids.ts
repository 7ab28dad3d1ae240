import { randomBytes } from 'node:crypto';
import { WorkcellError } from './errors.ts';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** A tenant. Only {@link parseCustomerId} makes one, so that a checked id is what reaches a path. */
export type CustomerId = Branded<'CustomerId'>;
export type SessionId = Branded<'SessionId'>;
export type ExecutionId = Branded<'ExecutionId'>;

const SHAPE = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

/** Throws `invalid_argument` unless `value` is 1-63 letters, digits, `_` or `-` and starts with a letter or digit. */
export function parseCustomerId(value: unknown): CustomerId {
  return parseId(value, 'customer') as CustomerId;
}

export function parseSessionId(value: unknown): SessionId {
  return parseId(value, 'session') as SessionId;
}

export function parseExecutionId(value: unknown): ExecutionId {
  return parseId(value, 'execution') as ExecutionId;
}

/** Ids sort by the time at which they were made. */
export function newSessionId(now: number = Date.now()): SessionId {
  return `ses_${sortable(now)}` as SessionId;
}

export function newExecutionId(now: number = Date.now()): ExecutionId {
  return `exe_${sortable(now)}` as ExecutionId;
}

function parseId(value: unknown, what: string): string {
  if (typeof value === 'string' && SHAPE.test(value)) return value;
  throw new WorkcellError(
    'invalid_argument',
    `The ${what} id ${quoted(value)} is not valid: use 1 to 63 letters, digits, "_" or "-", the first a letter or digit`,
    { details: { field: what } },
  );
}

function quoted(value: unknown): string {
  const text = typeof value === 'string' ? value : String(value);
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function sortable(now: number): string {
  return `${now.toString(36).padStart(9, '0')}${randomBytes(8).toString('hex')}`;
}
