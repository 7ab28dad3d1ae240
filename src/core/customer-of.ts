import { isWorkcellError, WorkcellError } from './errors.ts';
import { type CustomerId, customerIdOf, DEFAULT_ORGANISATION_NAME, organisationOf, parseCustomerId } from './ids.ts';
import type { Principal } from './principal.ts';

/**
 * Which customer a principal means by an id: keys of an organisation may leave their own prefix out, and an administrator's bare
 * id is one of the default organisation. Throws `invalid_argument` for what is no id, and for every customer that is not
 * the principal's the `not_found` of {@link noSuchCustomer}, whether there is one or not.
 */
export function customerOf(principal: Principal, id: string): CustomerId {
  const { role, org } = principal;
  const organisation = role === 'administrator' ? DEFAULT_ORGANISATION_NAME : org.name;
  const full = id.includes('.') ? parseCustomerId(id) : customerIdOf(organisation, id);
  if (mayActFor(principal, full)) return full;
  throw noSuchCustomer(id);
}

/** As {@link customerOf}; undefined for what is no id, and for every customer that is not the principal's. */
export function findCustomerOf(principal: Principal, id: string): CustomerId | undefined {
  try {
    return customerOf(principal, id);
  } catch (error) {
    if (isWorkcellError(error)) return undefined;
    throw error;
  }
}

/** Whether a principal may know of a customer. */
export function mayActFor({ role, org, customer }: Principal, id: CustomerId): boolean {
  if (role === 'administrator') return true;
  return role === 'customer' ? id === customer : organisationOf(id) === org.name;
}

/** For a customer that does not exist, and for one that is somebody else's: nobody can tell which. */
export function noSuchCustomer(id: string): WorkcellError {
  return new WorkcellError('not_found', `There is no customer ${JSON.stringify(id)}`);
}
