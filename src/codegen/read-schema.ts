import { type Fields, fieldsOf, isFields, isString, jsonOf, stringsOf } from '../core/fields.ts';
import type { JsonSchema } from '../core/tool.ts';
import { pascalCase } from './identifiers.ts';
import { schemaDocs } from './schema-docs.ts';
import { SchemaReferences } from './schema-references.ts';
import {
  type Declaration,
  type Docs,
  intersectionOf,
  NEVER,
  NULL,
  type ObjectType,
  type Property,
  type Type,
  UNKNOWN,
  unionOf,
} from './type-model.ts';

/**
 * The types of `schema`: one called `name`, first, and one for each part that the schema refers to by `$ref`.
 *
 * Never throws, whatever the schema holds: what cannot be read, cannot be resolved, refers to itself without end, is
 * nested too deep or too large is `unknown`, and the documentation says why. A property that is not required is optional,
 * never null. Other declarations avoid the names in `taken`, to which all names in use are added.
 */
export function readSchema(name: string, schema: JsonSchema, taken: Set<string> = new Set()): readonly Declaration[] {
  return new SchemaReader(name, schema, taken).read();
}

/** Where a type stands. */
interface Place {
  /** Reference whose declaration is being read, until a property lies in between: it may refer to the declaration. */
  readonly within: string | undefined;
  /** In an intersection, where not even an array may lie between a declaration and a reference to itself. */
  readonly isEager: boolean;
  readonly depth: number;
}

const MAX_DEPTH = 24;
/** Characters of one schema that are read: what servers publish has a tenth, and a module must stay loadable. */
const MAX_CHARACTERS = 64 * 1024;
/** Characters that each part of a type takes, whatever it is called. */
const PART = 16;
/** Parts of a schema that are searched for references that lead in a circle. */
const MAX_SEARCHED = 5_000;

class SchemaReader {
  readonly #name: string;
  readonly #references: SchemaReferences;
  readonly #taken: Set<string>;
  /** Name and label of the declaration for each reference; grows while reading. */
  readonly #declared: Map<string, { readonly name: string; readonly label: string }>;
  /** What each reference leads to. */
  readonly #followed = new Map<string, readonly string[] | undefined>();
  #budget = MAX_CHARACTERS;
  /** Why parts of the property that is being read are unknown. */
  #problems: string[] = [];

  constructor(name: string, root: JsonSchema, taken: Set<string>) {
    this.#name = name;
    this.#references = new SchemaReferences(root);
    this.#taken = taken.add(name);
    this.#declared = new Map([['#', { name, label: name }]]);
  }

  read(): Declaration[] {
    const declarations: Declaration[] = [];
    // A Map that grows while it is walked gives the new entries too.
    for (const [reference, names] of this.#declared) {
      const schema = this.#references.resolve(reference);
      declarations.push({ ...names, ...this.#documented(schema, { within: reference, isEager: false, depth: 0 }) });
    }
    return declarations;
  }

  #documented(schema: unknown, place: Place): { type: Type; docs: Docs } {
    const outer = this.#problems;
    this.#problems = [];
    const type = this.#type(schema, place);
    const docs = this.#affordable(schemaDocs(schema));
    const facts = [...docs.facts, ...this.#problems.map((problem) => `not typed: ${problem}`)];
    this.#problems = outer;
    return { type, docs: { ...docs, facts } };
  }

  #type(schema: unknown, place: Place): Type {
    if (schema === false) return NEVER;
    if (schema === true || schema === undefined) return UNKNOWN;
    if (!isFields(schema)) return this.#giveUp('the schema is neither an object nor true or false');
    if (place.depth > MAX_DEPTH) return this.#giveUp(`it is nested more than ${MAX_DEPTH} deep`);
    if (!this.#spend(PART)) return this.#giveUp('the schema is too large');
    const inner = { ...place, isEager: place.isEager || isIntersection(schema), depth: place.depth + 1 };
    const all = (members: unknown) =>
      (Array.isArray(members) ? members : []).map((member) => this.#type(member, inner));
    const parts = [this.#reference(referenceOf(schema), inner), this.#own(schema, inner), ...all(schema['allOf'])];
    for (const members of [all(schema['anyOf']), all(schema['oneOf'])]) {
      if (members.length > 0) parts.push(unionOf(members));
    }
    const type = intersectionOf(parts);
    return schema['nullable'] === true ? unionOf([type, NULL]) : type;
  }

  #reference(reference: unknown, { within, isEager }: Place): Type {
    if (reference === undefined) return UNKNOWN;
    if (!isString(reference) || this.#references.resolve(reference) === undefined)
      return this.#giveUp(`the reference ${shown(reference)} leads nowhere`);
    if (within !== undefined && this.#leadsTo(reference, within, isEager))
      return this.#giveUp(`the reference ${shown(reference)} leads to itself`);
    const names = this.#declared.get(reference) ?? this.#declare(reference);
    return { kind: 'reference', name: names.name };
  }

  /** What the schema says itself, without the schemas that it combines. */
  #own(schema: Fields, place: Place): Type {
    if (Array.isArray(schema['enum'])) return unionOf(schema['enum'].map((value) => this.#literal(value, 0)));
    if (Object.hasOwn(schema, 'const')) return this.#literal(schema['const'], 0);
    const types = [schema['type'] ?? impliedType(schema)].flat();
    return unionOf(types.map((type) => this.#ofType(type, schema, place)));
  }

  #ofType(type: unknown, schema: Fields, place: Place): Type {
    switch (type) {
      case 'string':
      case 'number':
      case 'integer':
      case 'boolean':
      case 'null':
        return { kind: type };
      case 'array':
        return this.#array(schema, place.isEager ? place : { ...place, within: undefined });
      case 'object':
        return this.#object(schema, { ...place, within: undefined, isEager: false });
      case undefined:
        return UNKNOWN;
      default:
        return this.#giveUp(`${shown(type)} is no type of JSON Schema`);
    }
  }

  #array(schema: Fields, place: Place): Type {
    const { prefixItems, items, additionalItems, minItems } = schema;
    const first = Array.isArray(prefixItems) ? prefixItems : Array.isArray(items) ? items : undefined;
    if (first === undefined) return { kind: 'array', items: this.#type(items, place) };
    const rest = first === prefixItems ? items : additionalItems;
    return {
      kind: 'tuple',
      items: first.map((item) => this.#type(item, place)),
      required: typeof minItems === 'number' ? minItems : first.length,
      ...(isFields(rest) || rest === true ? { rest: this.#type(rest, place) } : {}),
    };
  }

  #object(schema: Fields, place: Place): ObjectType {
    const listed = fieldsOf(schema['properties']);
    const required = new Set(stringsOf(schema['required']));
    const properties: Property[] = [];
    for (const name of new Set([...Object.keys(listed), ...required])) {
      if (!this.#spend(PART + name.length)) {
        this.#giveUp('the schema is too large');
        return { kind: 'object', properties, others: UNKNOWN };
      }
      const schemaOfProperty = Object.hasOwn(listed, name) ? listed[name] : true;
      properties.push({ name, required: required.has(name), ...this.#documented(schemaOfProperty, place) });
    }
    const others = this.#others(schema, properties.length > 0, place);
    return { kind: 'object', properties, ...(others.kind === 'never' ? {} : { others }) };
  }

  /** The type of properties that are not listed; a list without a word on others is complete. */
  #others(schema: Fields, hasNames: boolean, place: Place): Type {
    const unlisted = schema['additionalProperties'] ?? (!hasNames && !isFields(schema['properties']));
    const patterns = Object.values(fieldsOf(schema['patternProperties']));
    const isSilent = patterns.length > 0 && schema['additionalProperties'] === undefined;
    return unionOf([...patterns, isSilent ? false : unlisted].map((other) => this.#type(other, place)));
  }

  #literal(value: unknown, depth: number): Type {
    if (value === null) return NULL;
    if (!this.#spend(PART + (isString(value) ? value.length : 0))) return this.#giveUp('it has too many values');
    if (isString(value) || typeof value === 'boolean' || Number.isFinite(value))
      return { kind: 'literal', value: value as string | number | boolean };
    if (typeof value !== 'object' || depth > 3) return UNKNOWN;
    if (Array.isArray(value)) {
      return { kind: 'tuple', items: value.map((item) => this.#literal(item, depth + 1)), required: value.length };
    }
    const properties = Object.entries(value).map(([name, field]) => ({
      name,
      type: this.#literal(field, depth + 1),
      required: true,
      docs: schemaDocs(undefined),
    }));
    return { kind: 'object', properties };
  }

  /** Whether a declaration for `from` would, through references alone or also arrays, be defined by the one for `to`. */
  #leadsTo(from: string, to: string, throughArrays: boolean): boolean {
    const seen = new Set<string>();
    const waiting = [from];
    for (let reference = waiting.pop(); reference !== undefined; reference = waiting.pop()) {
      if (reference === to || !this.#spend(1)) return true;
      if (seen.has(reference)) continue;
      seen.add(reference);
      const next = this.#next(reference, throughArrays);
      if (next === undefined) return true;
      for (const found of next) waiting.push(found);
    }
    return false;
  }

  #next(reference: string, throughArrays: boolean): readonly string[] | undefined {
    const key = `${throughArrays} ${reference}`;
    if (!this.#followed.has(key))
      this.#followed.set(key, referencesIn(this.#references.resolve(reference), throughArrays));
    return this.#followed.get(key);
  }

  #declare(reference: string): { readonly name: string; readonly label: string } {
    const words = /[^/#:]*$/.exec(reference)?.[0].match(/[A-Za-z0-9]+/g) ?? ['Part'];
    const label = words.map(pascalCase).join('').slice(0, 80);
    const wanted = this.#name + label;
    let name = wanted;
    for (let number = 2; this.#taken.has(name); number += 1) name = `${wanted}${number}`;
    this.#taken.add(name);
    const names = { name, label };
    this.#declared.set(reference, names);
    return names;
  }

  #giveUp(problem: string): Type {
    if (this.#problems.length < 3 && !this.#problems.includes(problem)) this.#problems.push(problem);
    return UNKNOWN;
  }

  /** Documentation is what a schema that is too large loses first. */
  #affordable(docs: Docs): Docs {
    const { description, facts, fallback = '', example = '' } = docs;
    const lines = description.split('\n').length - 1;
    const size = description.length + lines * PART + facts.join().length + fallback.length + example.length;
    return this.#budget > MAX_CHARACTERS / 3 && this.#spend(size)
      ? docs
      : { description: '', facts: [], deprecated: docs.deprecated };
  }

  #spend(characters: number): boolean {
    if (this.#budget < characters) return false;
    this.#budget -= characters;
    return true;
  }
}

/** What a schema refers to outside of its properties; undefined when that takes too long to say. */
function referencesIn(schema: unknown, throughArrays: boolean): string[] | undefined {
  const found: string[] = [];
  const waiting = [schema];
  for (let searched = 0; waiting.length > 0; searched += 1) {
    if (searched > MAX_SEARCHED) return undefined;
    const next = waiting.pop();
    if (!isFields(next)) continue;
    const reference = referenceOf(next);
    if (isString(reference)) found.push(reference);
    const { anyOf, oneOf, allOf, items, prefixItems, additionalItems } = next;
    const parts = [anyOf, oneOf, allOf, ...(throughArrays ? [items, prefixItems, additionalItems] : [])];
    for (const part of parts.flat()) waiting.push(part);
  }
  return found;
}

function referenceOf(schema: Fields): unknown {
  return schema['$ref'] ?? schema['$dynamicRef'] ?? schema['$recursiveRef'];
}

/** Whether a schema takes more than one type to say. */
function isIntersection(schema: Fields): boolean {
  const own = ['type', 'enum', 'const'].some((key) => key in schema) || impliedType(schema) !== undefined;
  const combined = [referenceOf(schema), schema['anyOf'], schema['oneOf']].filter((part) => part !== undefined);
  const members = Array.isArray(schema['allOf']) ? schema['allOf'].length : 0;
  return Number(own) + combined.length + members > 1;
}

function impliedType(schema: Fields): string | undefined {
  if (['properties', 'required', 'additionalProperties', 'patternProperties'].some((key) => key in schema))
    return 'object';
  return 'items' in schema || 'prefixItems' in schema ? 'array' : undefined;
}

function shown(value: unknown): string {
  const text = jsonOf(value) ?? typeof value;
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}
