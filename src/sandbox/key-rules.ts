import { WorkcellError } from '../core/errors.ts';
import { defaultScopes, type Principal } from '../core/principal.ts';
import type { KeyInfo } from './key-file.ts';
import type { CheckedKey } from './new-key.ts';

/**
 * What one key may do to others. Nobody gains by it: what a key makes reaches no more than the maker, does no more, and is good
 * for no longer. A revoked key takes those that it made not with it: they are other people's.
 */

/**
 * The key as it may be made: without an expiry it expires with its maker. An organisation makes keys of its own customers, a
 * customer of itself. Throws `forbidden`.
 */
export function restrictNewKey(maker: Principal, wanted: CheckedKey, now: number): CheckedKey {
  if (!maker.scopes.has('keys')) throw forbidden('The API key has not the scope "keys"');
  if (!reaches(maker, wanted.role, wanted))
    throw forbidden(`The API key makes no keys of this kind: ${MAKES[maker.role]}`);
  const scopes = wanted.scopes ?? defaultScopes(wanted.role).filter((scope) => maker.scopes.has(scope));
  const beyond = scopes.filter((scope) => !maker.scopes.has(scope));
  if (beyond.length > 0 || scopes.length === 0)
    throw forbidden(`The API key has not the scopes that it is to give: ${beyond.join(', ') || 'none'}`);
  return { ...wanted, scopes, ...limitsOf(maker, wanted, now) };
}

/** Whether a principal is shown this key at all; for one that it is not, there is no such key. */
export function maySeeKey(principal: Principal, key: KeyInfo): boolean {
  const { role, org, customer } = principal;
  if (role === 'administrator') return true;
  return key.org.id === org.id && (role === 'organisation' || key.customer === customer);
}

/** Throws `forbidden`. A key may revoke what it could have made, whatever its scopes, and itself. */
export function assertMayRevoke(principal: Principal, key: KeyInfo): void {
  if (!principal.scopes.has('keys')) throw forbidden('The API key has not the scope "keys"');
  if (key.id === principal.keyId || reaches(principal, key.role, { org: key.org.name, ...pickCustomer(key) })) return;
  throw forbidden(`The API key does not revoke keys of this kind: ${MAKES[principal.role]}`);
}

const MAKES = {
  administrator: 'an administrator does all',
  organisation: 'it does so for the customers of its own organisation',
  customer: 'it does so for its own customer',
} as const;

function reaches(
  { role, org, customer }: Principal,
  kind: CheckedKey['role'],
  wanted: { readonly org: string; readonly customer?: string },
): boolean {
  if (role === 'administrator') return true;
  if (kind !== 'customer' || wanted.org !== org.name) return false;
  return role === 'organisation' || wanted.customer === customer;
}

function limitsOf(maker: Principal, { expiresInMs }: CheckedKey, now: number): { readonly expiresInMs?: number } {
  if (maker.expiresAt === undefined) return {};
  const leftMs = maker.expiresAt - now;
  if (expiresInMs === undefined) return { expiresInMs: leftMs };
  if (expiresInMs <= leftMs) return {};
  throw forbidden('The API key expires before the one that it is to make; give that one an earlier expiry');
}

function pickCustomer({ customer }: KeyInfo): { readonly customer?: string } {
  return customer === undefined ? {} : { customer };
}

function forbidden(message: string): WorkcellError {
  return new WorkcellError('forbidden', message);
}
