import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';

/** Where in a request something stands. */
export type Place = 'path' | 'query' | 'headers' | 'body';

/**
 * What the schema makes of a part of a request. Throws `invalid_argument` that names each field that is wrong; a part without
 * a schema must be empty.
 */
export function validate(schema: z.ZodType | undefined, value: unknown, place: Place): unknown {
  const result = (schema ?? NOTHING[place]).safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => ({
    in: place,
    field: path.map(String).join('.'),
    message,
  }));
  const told = problems.map(({ field, message }) => (field === '' ? message : `"${field}": ${message}`)).join('; ');
  throw new WorkcellError('invalid_argument', `The ${NAMES[place]} is not valid: ${told}`, { details: { problems } });
}

const NAMES = { path: 'path', query: 'query', headers: 'header', body: 'body' } as const satisfies Record<
  Place,
  string
>;

const EMPTY = z.strictObject({});
const NO_BODY = z.union([z.undefined(), z.null(), EMPTY], { error: 'this route takes no body' });
const NOTHING = { path: EMPTY, query: EMPTY, headers: z.unknown(), body: NO_BODY } as const satisfies Record<
  Place,
  z.ZodType
>;
