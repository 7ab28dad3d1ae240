import { z } from 'zod';

/** Yes or no in a query, as a boolean. */
export function queryFlag(byDefault: boolean) {
  return z
    .enum(['true', 'false'])
    .default(byDefault ? 'true' : 'false')
    .transform((value) => value === 'true');
}
