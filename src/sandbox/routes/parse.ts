import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { WorkcellError } from '../../core/errors.ts';
import type { SandboxRegistry } from '../registry.ts';
import type { Sandbox } from '../sandbox.ts';

/** The checked value, or `invalid_argument` that names every field that is wrong. */
export function parse<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => ({ field: path.join('.'), message }));
  const text = problems.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`)).join('; ');
  throw new WorkcellError('invalid_argument', `The request ${where} is not valid: ${text}`, { details: { problems } });
}

const addressSchema = z.union([z.object({ id: z.string() }), z.object({ name: z.string() })]);

/** The sandbox that a path with `:id` or `:name` means to who asks. Throws `not_found`. */
export function findSandbox(registry: SandboxRegistry, { params, principal }: FastifyRequest): Sandbox {
  const address = parse(addressSchema, params, 'path');
  return 'id' in address ? registry.get(principal, address.id) : registry.getByName(principal, address.name);
}
