import { createHash, timingSafeEqual } from 'node:crypto';
import { WorkcellError } from '../core/errors.ts';
import type { Secret } from '../util/secret.ts';

/** Throws `unauthenticated` unless the header carries one of the keys as `Bearer KEY`. */
export function authenticate(header: string | undefined, keys: readonly Secret[]): void {
  const given = /^Bearer\s+(\S+)$/i.exec(header ?? '')?.[1];
  if (given !== undefined && keys.some((key) => equal(given, key.reveal()))) return;
  const problem =
    given === undefined ? 'No API key was sent; send "Authorization: Bearer msb_…"' : 'The API key is not valid';
  throw new WorkcellError('unauthenticated', problem);
}

/** Takes as long whatever differs, and whatever the lengths. */
function equal(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest());
}
