import { randomBytes } from 'node:crypto';
import { WorkcellError } from './errors.ts';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/**
 * A tenant: `<id>` in the default organisation, `<organisation>.<id>` in any other, so that every customer has one spelling.
 * At most 127 characters. Only {@link parseCustomerId} and {@link customerIdOf} make one, so that a checked id is what reaches a path.
 */
export type CustomerId = Branded<'CustomerId'>;
export type SessionId = Branded<'SessionId'>;
export type ExecutionId = Branded<'ExecutionId'>;

const SHAPE = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

/** The organisation whose customers have no prefix. */
export const DEFAULT_ORGANISATION_NAME = 'default';

/**
 * A full id. Throws `invalid_argument` unless it is 1-63 letters, digits, `_` or `-`, the first a letter or digit, perhaps after
 * the name of an organisation, which is made alike, and a dot.
 */
export function parseCustomerId(value: unknown): CustomerId {
  const [organisation, id, ...others] = typeof value === 'string' && value.includes('.') ? value.split('.') : [];
  if (organisation === undefined) return parseId(value, 'customer') as CustomerId;
  const isFull = others.length === 0 && isShortName(organisation) && isShortName(id);
  // A customer of two spellings would be two.
  if (!isFull || organisation === DEFAULT_ORGANISATION_NAME) throw invalidId(value, 'customer');
  return `${organisation}.${id}` as CustomerId;
}

/** The full id of a customer of this organisation. Throws `invalid_argument` for an id that is none, or has a prefix. */
export function customerIdOf(organisation: string, id: string): CustomerId {
  if (!isShortName(organisation)) throw invalidId(organisation, 'organisation');
  const own = parseId(id, 'customer');
  return (organisation === DEFAULT_ORGANISATION_NAME ? own : `${organisation}.${own}`) as CustomerId;
}

/** The name of the organisation that a customer is of. */
export function organisationOf(customer: CustomerId): string {
  const dot = customer.indexOf('.');
  return dot === -1 ? DEFAULT_ORGANISATION_NAME : customer.slice(0, dot);
}

/** What ids, and the names of organisations, are made of. */
export function isShortName(value: unknown): value is string {
  return typeof value === 'string' && SHAPE.test(value);
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
  if (isShortName(value)) return value;
  throw invalidId(value, what);
}

function invalidId(value: unknown, what: string): WorkcellError {
  const prefix = what === 'customer' ? ', after the name of its organisation and a dot unless that is "default"' : '';
  return new WorkcellError(
    'invalid_argument',
    `The ${what} id ${quoted(value)} is not valid: use 1 to 63 letters, digits, "_" or "-", the first a letter or digit${prefix}`,
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
