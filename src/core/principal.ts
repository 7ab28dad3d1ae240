import { WorkcellError } from './errors.ts';
import { type CustomerId, DEFAULT_ORGANISATION_NAME } from './ids.ts';

export const ROLES = ['administrator', 'organisation', 'customer'] as const;

/**
 * An administrator sees and may do everything; an organisation's key reaches what is its organisation's alone, a customer's
 * what is that customer's alone.
 */
export type Role = (typeof ROLES)[number];

/** What a key may be good for: the parts of the API. `approve` decides on tool calls that wait for a person, `keys` makes and revokes keys. */
export const SCOPES = ['read', 'execute', 'files', 'sessions', 'approve', 'keys', 'mcp'] as const;

export type Scope = (typeof SCOPES)[number];

/** Who shares sandboxes and volumes. The id is the `org_id` of the wire. */
export interface Organisation {
  /** A UUID. */
  readonly id: string;
  readonly name: string;
}

/** Whom a request comes from, as its key says. */
export interface Principal {
  /** Which key it was; undefined for one that is not kept in a key store. */
  readonly keyId?: string;
  readonly role: Role;
  /** Whose everything is that this principal creates. */
  readonly org: Organisation;
  /** The one customer that a customer's key is good for, and only there. */
  readonly customer?: CustomerId;
  readonly scopes: ReadonlySet<Scope>;
  /** Sandboxes that may exist at a time of all those that this key has created. Undefined: as many as the server takes. */
  readonly maxSandboxes?: number;
  /** The one namespace of its organisation that a token of the JSON-RPC line is good for. Undefined: all of them. */
  readonly namespace?: string;
  /** When its key expires, in milliseconds since the epoch. Undefined: not by itself. */
  readonly expiresAt?: number;
}

/** The organisation of every key that names no other. */
export const DEFAULT_ORGANISATION: Organisation = {
  id: '00000000-0000-4000-8000-000000000001',
  name: DEFAULT_ORGANISATION_NAME,
};

export const ALL_SCOPES: ReadonlySet<Scope> = new Set(SCOPES);

/** What a key is good for that does not say: a customer decides on nothing, and makes no keys. */
export function defaultScopes(role: Role): readonly Scope[] {
  return role === 'customer' ? SCOPES.filter((scope) => scope !== 'approve' && scope !== 'keys') : SCOPES;
}

/** An administrator whose key leaves nothing out. */
export function isUnrestricted({ role, scopes }: Principal): boolean {
  return role === 'administrator' && SCOPES.every((scope) => scopes.has(scope));
}

/** Throws `forbidden` unless the principal's key is good for this. */
export function assertScope({ scopes }: Principal, scope: Scope): void {
  if (scopes.has(scope)) return;
  throw new WorkcellError('forbidden', `The API key has not the scope "${scope}"; ask for one that has`, {
    details: { scope },
  });
}
