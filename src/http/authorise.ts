import { WorkcellError } from '../core/errors.ts';
import { type CustomerId, parseCustomerId } from '../core/ids.ts';
import type { Scope } from '../core/scopes.ts';
import type { Principal } from './define-route.ts';

/** The organisation whose customers are known by their name alone. */
const DEFAULT_ORGANISATION = 'default';

/** Throws `forbidden`, whatever the request is about: it tells nothing of what there is. */
export function assertScope(principal: Principal, scope: Scope): void {
  if (mayUse(principal, scope)) return;
  throw new WorkcellError('forbidden', `This key is not good for "${scope}"; ask for one with that scope`, {
    details: { scope },
  });
}

/** Whether the key is good for a scope; one that names none is good for all. */
export function mayUse(principal: Principal, scope: Scope): boolean {
  const { scopes } = principal as { readonly scopes?: ReadonlySet<Scope> };
  return scopes?.has(scope) ?? true;
}

/**
 * The full id of the customer that a principal means. Throws `invalid_argument` for an id that is none, and `not_found` for a
 * customer that is not the principal's, in the words for one that does not exist.
 */
export function customerOf(given: string, principal: Principal): CustomerId {
  const id = parseCustomerId(qualify(given, principal));
  if (isOwn(id, principal)) return id;
  throw noCustomer(given);
}

/** Whether a principal may know of a customer. */
export function isOwn(id: CustomerId, principal: Principal): boolean {
  const { role, org } = principal;
  const { customer } = principal as { readonly customer?: CustomerId };
  if (role === 'administrator') return true;
  if (customer !== undefined) return id === customer;
  return role === 'organisation' && organisationOf(id) === org.name;
}

export function noCustomer(given: string): WorkcellError {
  return new WorkcellError('not_found', `There is no customer ${JSON.stringify(given)}`);
}

/** Keys of an organisation may leave its name out. */
function qualify(given: string, { role, org }: Principal): string {
  if (role === 'administrator' || org.name === DEFAULT_ORGANISATION || given.includes('.')) return given;
  return `${org.name}.${given}`;
}

function organisationOf(id: CustomerId): string {
  const dot = id.indexOf('.');
  return dot < 0 ? DEFAULT_ORGANISATION : id.slice(0, dot);
}
