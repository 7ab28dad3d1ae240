import type { z } from 'zod';
import { WorkcellError } from '../../core/errors.ts';

/** The checked value, or `invalid_argument` that names every field that is wrong. */
export function parse<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => ({ field: path.join('.'), message }));
  const text = problems.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`)).join('; ');
  throw new WorkcellError('invalid_argument', `The request ${where} is not valid: ${text}`, { details: { problems } });
}
