import { type Fields, isFields, isString, jsonOf } from '../core/fields.ts';
import type { Docs } from './type-model.ts';

const MAX_DESCRIPTION = 4_000;
const MAX_VALUE = 200;

/** What a schema says about a type that the type cannot: what it is for, limits, formats, its default. */
export function schemaDocs(schema: unknown): Docs {
  if (!isFields(schema)) return { description: '', facts: [], deprecated: false };
  const { description, deprecated, examples, example } = schema;
  const fallback = jsonText(schema['default']);
  const sample = jsonText(Array.isArray(examples) ? examples[0] : example);
  return {
    description: isString(description) ? shortened(description, MAX_DESCRIPTION) : '',
    facts: [...new Set(factsOf(schema, 3))],
    ...(fallback === undefined ? {} : { fallback }),
    ...(sample === undefined ? {} : { example: sample }),
    deprecated: deprecated === true,
  };
}

/** Says how much is missing. */
export function shortened(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}… (${text.length - length} more characters)`;
}

/** Also of the alternatives and items, which have no line of their own for it. */
function factsOf(schema: Fields, depth: number): string[] {
  const { allOf, anyOf, oneOf, items } = schema;
  const parts = depth === 0 ? [] : [allOf, anyOf, oneOf].flat().filter(isFields).slice(0, 20);
  const each = depth > 0 && isFields(items) && !('properties' in items) ? factsOf(items, depth - 1) : [];
  return [
    ...ownFacts(schema),
    ...parts.flatMap((part) => ('properties' in part ? [] : factsOf(part, depth - 1))),
    ...each.map((fact) => `each ${fact.replace(/^each /, '')}`),
  ];
}

function ownFacts(schema: Fields): string[] {
  const number = (key: string, words: string) =>
    typeof schema[key] === 'number' && !NO_LIMITS.has(schema[key]) ? [`${words} ${schema[key]}`] : [];
  const text = (key: string, words: string) => {
    const value = schema[key];
    return isString(value) && value !== '' && value.length <= MAX_VALUE ? [`${words} ${value}`] : [];
  };
  return [
    ...text('format', 'format'),
    ...number('minimum', 'at least'),
    ...number('exclusiveMinimum', 'above'),
    ...number('maximum', 'at most'),
    ...number('exclusiveMaximum', 'below'),
    ...number('multipleOf', 'a multiple of'),
    ...range(schema, 'Length', 'character'),
    ...text('pattern', 'pattern'),
    ...text('contentEncoding', 'encoding'),
    ...text('contentMediaType', 'media type'),
    ...range(schema, 'Items', 'item'),
    ...(schema['uniqueItems'] === true ? ['no two alike'] : []),
    ...range(schema, 'Properties', 'key'),
  ];
}

/** What generators of schemas write for an integer without a limit. */
const NO_LIMITS: ReadonlySet<number> = new Set([Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]);

/** `minLength` and `maxLength`, and the like, as `1 to 50 characters`. */
function range(schema: Fields, limit: string, noun: string): string[] {
  const min = schema[`min${limit}`];
  const max = schema[`max${limit}`];
  const units = (count: number) => `${count} ${noun}${count === 1 ? '' : 's'}`;
  if (typeof min === 'number' && typeof max === 'number') return [min === max ? units(min) : `${min} to ${units(max)}`];
  if (typeof min === 'number' && min > 0) return [`at least ${units(min)}`];
  return typeof max === 'number' ? [`at most ${units(max)}`] : [];
}

function jsonText(value: unknown): string | undefined {
  const text = jsonOf(value);
  return text === undefined || text.length > MAX_VALUE ? undefined : text;
}
