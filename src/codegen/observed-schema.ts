import { type Fields, isFields } from '../core/fields.ts';

/**
 * The structure of values that were seen, as JSON Schema; empty where nothing was seen yet.
 *
 * `additionalProperties` is the structure of all properties whose names are not listed. Joining only ever widens, and
 * gives the same whatever the order.
 */
export interface ObservedSchema {
  readonly [keyword: string]: unknown;
  readonly type?: readonly ObservedType[];
  readonly items?: ObservedSchema;
  readonly properties?: Readonly<Record<string, ObservedSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: ObservedSchema;
}

export type ObservedType = 'array' | 'boolean' | 'integer' | 'null' | 'number' | 'object' | 'string';

const NOTHING: ObservedSchema = {};
const MAX_DEPTH = 8;
/** Items of one array, and properties of one object, that are looked at. */
const MAX_MEMBERS = 100;
/** Parts of one result that are looked at. */
const MAX_PARTS = 2_000;
/** Names of one object that are listed, the first ones; more come from data. */
const MAX_NAMES = 60;

/**
 * The structure of one result, without a value of it. Of names, which can be data too (`{"alice@example.com": …}`), only
 * those are kept that `isPublic` lets pass.
 */
export function observe(value: unknown, isPublic: (name: string) => boolean): ObservedSchema {
  let left = MAX_PARTS;
  const structure = (part: unknown, depth: number): ObservedSchema => {
    left -= 1;
    if (depth > MAX_DEPTH || left < 0) return NOTHING;
    if (Array.isArray(part)) {
      const items = part.slice(0, MAX_MEMBERS).map((item) => structure(item, depth + 1));
      return { type: ['array'], items: items.reduce(joinObserved, NOTHING) };
    }
    return isFields(part) ? object(part, depth) : { type: [scalarType(part)] };
  };
  const object = (part: Fields, depth: number): ObservedSchema => {
    const entries = Object.entries(part).map(([name, field]) => ({ name: isPublic(name) ? name : undefined, field }));
    const fields = new Map<string, ObservedSchema>();
    let others = NOTHING;
    for (const { name, field } of entries.slice(0, MAX_MEMBERS)) {
      if (name === undefined) others = joinObserved(others, structure(field, depth + 1));
      else fields.set(name, structure(field, depth + 1));
    }
    return objectSchema(fields, new Set(fields.keys()), others);
  };
  return structure(value, 0);
}

/** What holds for the values of both. */
export function joinObserved(a: ObservedSchema, b: ObservedSchema): ObservedSchema {
  if (a.type === undefined) return b;
  if (b.type === undefined) return a;
  const types = new Set([...a.type, ...b.type]);
  if (types.has('number')) types.delete('integer');
  return {
    type: [...types].sort(),
    ...(types.has('array') ? { items: joinObserved(a.items ?? NOTHING, b.items ?? NOTHING) } : {}),
    ...(types.has('object') ? joinObjects(a, b) : {}),
  };
}

function joinObjects(a: ObservedSchema, b: ObservedSchema): Omit<ObservedSchema, 'type'> {
  const sides = [a, b].filter(({ properties }) => properties !== undefined);
  const [only, other] = sides;
  if (only === undefined || other === undefined) return objectPart(only ?? NOTHING);
  const fields = new Map(Object.entries(only.properties ?? {}));
  for (const [name, schema] of Object.entries(other.properties ?? {}))
    fields.set(name, joinObserved(fields.get(name) ?? NOTHING, schema));
  const required = new Set([...fields.keys()].filter((name) => sides.every((side) => side.required?.includes(name))));
  const unlisted = joinObserved(only.additionalProperties ?? NOTHING, other.additionalProperties ?? NOTHING);
  return objectPart(objectSchema(fields, required, unlisted));
}

function objectPart({ properties, required, additionalProperties }: ObservedSchema): Omit<ObservedSchema, 'type'> {
  return { properties, required, additionalProperties };
}

function objectSchema(
  properties: ReadonlyMap<string, ObservedSchema>,
  required: ReadonlySet<string>,
  others: ObservedSchema,
): ObservedSchema {
  const sorted = [...properties].sort(([a], [b]) => (a < b ? -1 : 1));
  const listed = sorted.slice(0, MAX_NAMES);
  return {
    type: ['object'],
    properties: Object.fromEntries(listed),
    required: listed.map(([name]) => name).filter((name) => required.has(name)),
    additionalProperties: sorted.slice(MAX_NAMES).reduce((all, [, schema]) => joinObserved(all, schema), others),
  };
}

function scalarType(value: unknown): ObservedType {
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'boolean';
    case 'number':
      return Number.isInteger(value) ? 'integer' : 'number';
    default:
      return 'null';
  }
}
