/**
 * A type, in words that belong to no language. JSON Schema is read into this once (`read-schema.ts`), and each language
 * writes it in its own way.
 */
export type Type =
  | { readonly kind: 'unknown' | 'never' | 'null' | 'boolean' | 'integer' | 'number' | 'string' }
  | { readonly kind: 'literal'; readonly value: string | number | boolean }
  | { readonly kind: 'array'; readonly items: Type }
  | TupleType
  | ObjectType
  | { readonly kind: 'union' | 'intersection'; readonly members: readonly Type[] }
  /** To a {@link Declaration}, by its name. */
  | { readonly kind: 'reference'; readonly name: string };

/** An array with a type for each place; those after the first `required` ones may be missing. */
export interface TupleType {
  readonly kind: 'tuple';
  readonly items: readonly Type[];
  readonly required: number;
  /** Of what may follow; undefined when nothing may. */
  readonly rest?: Type;
}

export interface ObjectType {
  readonly kind: 'object';
  readonly properties: readonly Property[];
  /** Of properties that are not listed; undefined when the list is complete. */
  readonly others?: Type;
}

export interface Property {
  readonly name: string;
  readonly type: Type;
  readonly required: boolean;
  readonly docs: Docs;
}

/** What is said about a type beside the type; text of the server, unescaped. */
export interface Docs {
  readonly description: string;
  /** What a type cannot say, such as `at least 1` and `format date-time`. */
  readonly facts: readonly string[];
  /** JSON. */
  readonly fallback?: string;
  /** JSON. */
  readonly example?: string;
  readonly deprecated: boolean;
}

export interface Declaration {
  /** Unique in the module. */
  readonly name: string;
  /** What it is called where it was declared, in PascalCase; not unique. */
  readonly label: string;
  readonly type: Type;
  readonly docs: Docs;
}

export const UNKNOWN: Type = { kind: 'unknown' };
export const NEVER: Type = { kind: 'never' };
export const NULL: Type = { kind: 'null' };

/** Any of the types; `never` when there are none. */
export function unionOf(types: readonly Type[]): Type {
  const members = distinct(types, 'union', 'never');
  if (members.some(({ kind }) => kind === 'unknown')) return UNKNOWN;
  const hasNumber = members.some(({ kind }) => kind === 'number');
  return single(hasNumber ? members.filter(({ kind }) => kind !== 'integer') : members, 'union', NEVER);
}

/** All of the types at once; `unknown` when there are none. */
export function intersectionOf(types: readonly Type[]): Type {
  const members = distinct(types, 'intersection', 'unknown');
  if (members.some(({ kind }) => kind === 'never')) return NEVER;
  const listing = members.filter((type) => !isEmptyList(type));
  return single(listing.length > 0 ? listing : members.slice(0, 1), 'intersection', UNKNOWN);
}

/** An object that names no properties leaves it to the types beside it to name them. */
function isEmptyList(type: Type): boolean {
  return type.kind === 'object' && type.properties.length === 0 && type.others === undefined;
}

/** Null last. */
function distinct(types: readonly Type[], flatten: 'union' | 'intersection', neutral: Type['kind']): Type[] {
  const flat = types.flatMap((type) => (type.kind === flatten ? membersOf(type) : [type]));
  const others = flat.filter(({ kind }) => kind !== neutral);
  const unlike = [...new Map(others.map((type) => [JSON.stringify(type), type])).values()];
  return unlike.sort((a, b) => Number(a.kind === 'null') - Number(b.kind === 'null'));
}

function membersOf(type: Type): readonly Type[] {
  return 'members' in type ? type.members : [];
}

function single(members: readonly Type[], kind: 'union' | 'intersection', neutral: Type): Type {
  const [only = neutral] = members;
  return members.length <= 1 ? only : { kind, members };
}
