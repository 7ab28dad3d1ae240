import { WorkcellError } from '../core/errors.ts';
import { type CustomerId, customerIdOf, isShortName, organisationOf, parseCustomerId } from '../core/ids.ts';
import { DEFAULT_ORGANISATION, type Role, SCOPES, type Scope } from '../core/principal.ts';

export interface NewKey {
  /** For people: 1 to 64 characters. */
  readonly name: string;
  readonly role: Role;
  /** Name of an organisation, which comes into being with its first key. Default: that of `customer`, else `default`. */
  readonly org?: string | undefined;
  /** Of a customer's key, and only of that: whose it is, with the organisation before its id or in `org`. */
  readonly customer?: string | undefined;
  /** Default `defaultScopes` of the role. */
  readonly scopes?: readonly Scope[] | undefined;
  /** Default: it does not expire. */
  readonly expiresInMs?: number | undefined;
  readonly maxSandboxes?: number | undefined;
}

/** A {@link NewKey} that makes sense. */
export interface CheckedKey {
  readonly name: string;
  readonly role: Role;
  readonly org: string;
  readonly customer?: CustomerId;
  /** In the order of `SCOPES`. */
  readonly scopes?: readonly Scope[];
  readonly expiresInMs?: number;
  readonly maxSandboxes?: number;
}

const MAX_EXPIRY_MS = 3650 * 24 * 60 * 60_000;
const NAME = /^[^\p{Cc}]{1,64}$/u;

/** Throws `invalid_argument`. */
export function checkNewKey(wanted: NewKey): CheckedKey {
  const { name, role, expiresInMs, maxSandboxes } = wanted;
  if (!NAME.test(name)) throw invalid('The name of a key must be 1 to 64 printable characters');
  if (maxSandboxes !== undefined && !(Number.isSafeInteger(maxSandboxes) && maxSandboxes > 0))
    throw invalid('The number of sandboxes of a key must be a whole number above zero');
  if (expiresInMs !== undefined) checkExpiry(expiresInMs);
  if (role === 'customer' && maxSandboxes !== undefined)
    throw invalid("A customer's key makes no sandboxes itself; limit its executions with quotas in the configuration");
  const { org, customer } = ownerOf(wanted);
  const scopes = checkScopes(wanted.scopes);
  return {
    name,
    role,
    org,
    ...(customer === undefined ? {} : { customer }),
    ...(scopes === undefined ? {} : { scopes }),
    ...(expiresInMs === undefined ? {} : { expiresInMs }),
    ...(maxSandboxes === undefined ? {} : { maxSandboxes }),
  };
}

/** Throws `invalid_argument` for a time that no key or token may be good for. */
export function checkExpiry(ms: number): void {
  if (ms > 0 && ms <= MAX_EXPIRY_MS) return;
  throw invalid(
    'A key can expire after at most 3650d; leave the expiry out for a key that is good until it is revoked',
  );
}

/** Throws `invalid_argument`. */
export function checkShortName(what: string, name: string): void {
  if (isShortName(name)) return;
  throw invalid(
    `The name of the ${what} must be 1 to 63 letters, digits, "_" or "-", the first a letter or digit; not ${JSON.stringify(name)}`,
  );
}

function ownerOf({ role, org, customer }: NewKey): Pick<CheckedKey, 'org' | 'customer'> {
  if (org !== undefined) checkShortName('organisation', org);
  if ((role === 'customer') !== (customer !== undefined))
    throw invalid('A key of the role "customer" needs a customer, and no other key has one');
  if (customer === undefined) return { org: org ?? DEFAULT_ORGANISATION.name };
  const full = org === undefined || customer.includes('.') ? parseCustomerId(customer) : customerIdOf(org, customer);
  const own = organisationOf(full);
  if (org !== undefined && org !== own)
    throw invalid(`The customer "${full}" is of the organisation "${own}", not of "${org}"`);
  return { org: own, customer: full };
}

function checkScopes(scopes: readonly Scope[] | undefined): readonly Scope[] | undefined {
  if (scopes === undefined) return undefined;
  const unknown = scopes.find((scope) => !SCOPES.includes(scope));
  if (unknown === undefined && scopes.length > 0) return SCOPES.filter((scope) => scopes.includes(scope));
  const problem =
    unknown === undefined ? 'A key needs at least one scope' : `There is no scope ${JSON.stringify(unknown)}`;
  throw invalid(`${problem}; the scopes are ${SCOPES.join(', ')}`);
}

function invalid(message: string): WorkcellError {
  return new WorkcellError('invalid_argument', message);
}
