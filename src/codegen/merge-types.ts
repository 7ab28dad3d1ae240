import {
  type Declaration,
  intersectionOf,
  NEVER,
  type ObjectType,
  type Property,
  type Type,
  UNKNOWN,
  unionOf,
} from './type-model.ts';

const MAX_DEPTH = 12;
/** Combinations of alternatives that are told apart. */
const MAX_ALTERNATIVES = 32;
/** Pairs of types that are joined for one module, so that no schema multiplies without end. */
const MAX_JOINS = 5_000;

/**
 * Types without intersections, for a language that has none: objects are joined, alternatives are multiplied out, and
 * references among the members are replaced by what they stand for. What cannot be joined within bounds is the wider of
 * two types.
 */
export class TypeMerger {
  readonly #declarations: ReadonlyMap<string, Declaration>;
  #left = MAX_JOINS;

  constructor(declarations: readonly Declaration[]) {
    this.#declarations = new Map(declarations.map((declaration) => [declaration.name, declaration]));
  }

  /** Undefined for a name that nothing declares. */
  find(name: string): Declaration | undefined {
    return this.#declarations.get(name);
  }

  /** The type, without an intersection at its top. */
  flat(type: Type, depth = 0): Type {
    if (type.kind !== 'intersection') return type;
    if (depth > MAX_DEPTH) return UNKNOWN;
    const members = type.members.map((member) => this.flat(member, depth + 1));
    return members.reduce((a, b) => this.#meet(a, b, depth), UNKNOWN);
  }

  /** What a reference stands for in the end, without an intersection at its top. */
  resolved(type: Type, depth = 0): Type {
    if (depth > MAX_DEPTH) return UNKNOWN;
    if (type.kind !== 'reference') return this.flat(type, depth);
    return this.resolved(this.find(type.name)?.type ?? UNKNOWN, depth + 1);
  }

  /** The one object that stands for the type, also for several objects of which it may be any; undefined when none can. */
  asObject(type: Type, depth = 0): ObjectType | undefined {
    const whole = this.resolved(type, depth);
    if (whole.kind === 'object') return whole;
    if (whole.kind !== 'union' || depth > MAX_DEPTH) return undefined;
    const members = whole.members.map((member) => this.asObject(member, depth + 1));
    const objects = members.filter((member) => member !== undefined);
    return objects.length === members.length ? anyObject(objects) : undefined;
  }

  /** Whether null is among the values of the type. */
  allowsNull(type: Type, depth = 0): boolean {
    if (type.kind === 'unknown' || type.kind === 'null') return true;
    if (depth > MAX_DEPTH) return false;
    if (type.kind === 'union') return type.members.some((member) => this.allowsNull(member, depth + 1));
    if (type.kind === 'intersection') return type.members.every((member) => this.allowsNull(member, depth + 1));
    return type.kind === 'reference' && this.allowsNull(this.find(type.name)?.type ?? UNKNOWN, depth + 1);
  }

  #meet(a: Type, b: Type, depth: number): Type {
    if (a.kind === 'unknown' || b.kind === 'never') return b;
    if (b.kind === 'unknown' || a.kind === 'never') return a;
    this.#left -= 1;
    if (depth > MAX_DEPTH || this.#left < 0) return a;
    if (a.kind === 'reference' && b.kind === 'reference' && a.name === b.name) return a;
    for (const [one, other] of [[a, b] as const, [b, a] as const]) {
      if (one.kind === 'reference' || one.kind === 'intersection')
        return this.#meet(this.resolved(one, depth + 1), other, depth + 1);
      if (one.kind === 'literal' && includes(other, one.value)) return one;
      if (one.kind !== 'union') continue;
      const count = one.members.length * (other.kind === 'union' ? other.members.length : 1);
      if (count > MAX_ALTERNATIVES) return one.members.every(({ kind }) => kind === 'literal') ? one : other;
      return unionOf(one.members.map((member) => this.#meet(member, other, depth + 1)));
    }
    return this.#meetOfKind(a, b, depth);
  }

  #meetOfKind(a: Type, b: Type, depth: number): Type {
    if (a.kind === 'object' && b.kind === 'object') return this.#bothObjects(a, b, depth);
    if (a.kind === 'array' && b.kind === 'array')
      return { kind: 'array', items: this.#meet(a.items, b.items, depth + 1) };
    if (a.kind === 'array' && b.kind === 'tuple') return b;
    if (a.kind === 'tuple' && (b.kind === 'array' || b.kind === 'tuple')) return a;
    if (a.kind === 'integer' && b.kind === 'number') return a;
    if (a.kind === 'number' && b.kind === 'integer') return b;
    return a.kind === b.kind && a.kind !== 'literal' ? a : NEVER;
  }

  #bothObjects(a: ObjectType, b: ObjectType, depth: number): ObjectType {
    const properties = new Map<string, Property>(a.properties.map((property) => [property.name, property]));
    for (const property of b.properties) {
      const other = properties.get(property.name);
      properties.set(property.name, other === undefined ? property : this.#bothProperties(other, property, depth));
    }
    const others = [a, b].flatMap((object) => (object.others === undefined ? [] : [object.others]));
    return {
      kind: 'object',
      properties: [...properties.values()],
      ...(others.length === 2 ? { others: intersectionOf(others) } : {}),
    };
  }

  #bothProperties(a: Property, b: Property, depth: number): Property {
    return {
      name: a.name,
      type: this.#meet(a.type, b.type, depth + 1),
      required: a.required || b.required,
      docs: a.docs.description === '' && a.docs.facts.length === 0 ? b.docs : a.docs,
    };
  }
}

function includes(type: Type, value: string | number | boolean): boolean {
  if (type.kind === 'literal') return type.value === value;
  return type.kind === typeof value || (type.kind === 'integer' && Number.isInteger(value));
}

/** An object with the properties of each, of which those are required that all require. */
function anyObject(objects: readonly ObjectType[]): ObjectType {
  const properties = Map.groupBy(
    objects.flatMap((object) => object.properties),
    ({ name }) => name,
  );
  const others = objects.flatMap((object) => (object.others === undefined ? [] : [object.others]));
  return {
    kind: 'object',
    properties: [...properties].map(([name, list]) => ({
      name,
      type: unionOf(list.map(({ type }) => type)),
      required: list.length === objects.length && list.every(({ required }) => required),
      docs: list[0]?.docs ?? { description: '', facts: [], deprecated: false },
    })),
    ...(others.length === 0 ? {} : { others: unionOf(others) }),
  };
}
