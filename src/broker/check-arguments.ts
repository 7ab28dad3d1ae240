import { Ajv, type AnySchema, type ErrorObject, type Options, type ValidateFunction } from 'ajv';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { messageOf } from '../core/errors.ts';
import type { JsonSchema } from '../core/tool.ts';

export type ArgumentsCheck =
  | { readonly kind: 'valid' }
  /** `problem`: `entities[0].name must be string`. */
  | { readonly kind: 'invalid'; readonly problem: string }
  /** The schema cannot be compiled, so nothing can be said about the arguments. */
  | { readonly kind: 'unusable'; readonly reason: string };

/**
 * Checks a call's arguments against the tool's input schema. Never throws.
 *
 * Draft-06 and -07, 2019-09 and 2020-12 are told apart by `$schema`; without one, and for a dialect that is not known,
 * 2020-12 holds, as MCP has it. Unknown keywords and formats are ignored. A schema that cannot be compiled is reported
 * as such: a check that cannot be made is not a check that passed.
 */
export function checkArguments(schema: JsonSchema, args: unknown): ArgumentsCheck {
  const validator = validatorFor(schema);
  if (typeof validator === 'string') return { kind: 'unusable', reason: validator };
  try {
    if (validator(args)) return { kind: 'valid' };
    return { kind: 'invalid', problem: (validator.errors ?? []).slice(0, 3).map(describe).join('; ') };
  } catch {
    // A recursive schema follows the nesting of what the guest sent.
    return { kind: 'invalid', problem: 'arguments are nested too deeply' };
  }
}

/** The compiled check, or why there is none; per schema object, since the catalog hands out the same ones again. */
function validatorFor(schema: JsonSchema): ValidateFunction | string {
  if (typeof schema === 'boolean') return compile(schema);
  let validator = VALIDATORS.get(schema);
  if (validator === undefined) {
    validator = compile(schema);
    VALIDATORS.set(schema, validator);
  }
  return validator;
}

const VALIDATORS = new WeakMap<object, ValidateFunction | string>();

function compile(schema: JsonSchema): ValidateFunction | string {
  try {
    return compileWith(schema, { unicodeRegExp: true });
  } catch (error) {
    // Many patterns in the field are no regular expressions in Unicode mode.
    return attempt(() => compileWith(schema, { unicodeRegExp: false })) ?? messageOf(error);
  }
}

/** One Ajv for each schema, because two tools may give their schemas the same `$id`. */
function compileWith(schema: JsonSchema, options: Options): ValidateFunction {
  const { $schema = '', ...rest } = typeof schema === 'boolean' ? {} : schema;
  const dialect = String($schema);
  const Dialect = /draft-0[67]/.test(dialect) ? Ajv : dialect.includes('2019-09') ? Ajv2019 : Ajv2020;
  // Only the first error: to collect them all would let a guest make as many as its arguments have values.
  const ajv = new Dialect({ strict: false, logger: false, allErrors: false, ...options });
  formats.default(ajv);
  return ajv.compile(typeof schema === 'boolean' ? schema : (rest as AnySchema));
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function describe({ instancePath, keyword, message = 'is not valid', params }: ErrorObject): string {
  const path = readablePath(instancePath);
  if (keyword === 'additionalProperties')
    return `${path} must not have the property ${quoted(params['additionalProperty'])}`;
  if (keyword === 'required') return `${path} must have the property ${quoted(params['missingProperty'])}`;
  if (keyword === 'enum')
    return `${path} must be one of ${shortened(JSON.stringify(params['allowedValues']).slice(1, -1))}`;
  return `${path} ${message}`;
}

/** `/entities/0/name` as `entities[0].name`; the root as `arguments`. */
function readablePath(pointer: string): string {
  const keys = pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const text = keys.map((key) => {
    if (/^\d+$/.test(key)) return `[${key}]`;
    return /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
  });
  return shortened(text.join('').replace(/^\./, '')) || 'arguments';
}

function quoted(value: unknown): string {
  return shortened(JSON.stringify(String(value)));
}

function shortened(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
