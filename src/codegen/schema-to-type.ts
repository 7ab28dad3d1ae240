import type { JsonSchema } from '../core/tool.ts';
import { docComment, quote } from './comment.ts';
import { type Fields, fieldsOf, isFields, isString, stringsOf } from './fields.ts';
import { pascalCase } from './identifiers.ts';
import { resolvePointer } from './json-pointer.ts';
import { arrayOf, intersection, NEVER, type TypeText, tight, UNKNOWN, union } from './type-text.ts';

/**
 * Type aliases for `schema`: one called `name`, and one for each part that the schema refers to by `$ref`.
 *
 * Whatever the schema holds, the text is valid TypeScript: what has no type, cannot be resolved, refers to itself without
 * end or is nested too deep is `unknown`. A property that is not required is optional, never null. Other aliases avoid the
 * names in `taken`, to which all names in use are added.
 */
export function schemaToType(name: string, schema: JsonSchema, taken: Set<string> = new Set()): string {
  return new Renderer(name, schema, taken).render();
}

/** Where a type stands. */
interface Place {
  /** Pointer of the schema whose alias is being written, until a property lies in between: it may refer to the alias. */
  readonly within: string | undefined;
  /** In an intersection, where not even an array may lie between an alias and a reference to itself. */
  readonly isEager: boolean;
  readonly depth: number;
}

const MAX_DEPTH = 24;

class Renderer {
  readonly #name: string;
  readonly #root: JsonSchema;
  readonly #taken: Set<string>;
  /** Name of the alias for each pointer that is referred to; grows while rendering. */
  readonly #aliases: Map<string, string>;

  constructor(name: string, root: JsonSchema, taken: Set<string>) {
    this.#name = name;
    this.#root = root;
    this.#taken = taken.add(name);
    this.#aliases = new Map([['#', name]]);
  }

  render(): string {
    const aliases: string[] = [];
    // A Map that grows while it is walked gives the new entries too.
    for (const [pointer, alias] of this.#aliases) {
      const type = this.#type(resolvePointer(this.#root, pointer), { within: pointer, isEager: false, depth: 0 });
      aliases.push(`export type ${alias} = ${type.text};\n`);
    }
    return aliases.join('\n');
  }

  #type(schema: unknown, place: Place): TypeText {
    if (schema === false) return NEVER;
    if (!isFields(schema) || place.depth > MAX_DEPTH) return UNKNOWN;
    const inner = { ...place, isEager: place.isEager || isIntersection(schema), depth: place.depth + 1 };
    const all = (members: unknown) =>
      (Array.isArray(members) ? members : []).map((member) => this.#type(member, inner));
    const parts = [this.#reference(schema['$ref'], inner), this.#own(schema, inner), ...all(schema['allOf'])];
    for (const members of [all(schema['anyOf']), all(schema['oneOf'])]) {
      if (members.length > 0) parts.push(union(members));
    }
    const type = intersection(parts);
    return schema['nullable'] === true ? union([type, { text: 'null', loose: false }]) : type;
  }

  #reference(reference: unknown, { within, isEager }: Place): TypeText {
    if (typeof reference !== 'string' || resolvePointer(this.#root, reference) === undefined) return UNKNOWN;
    if (within !== undefined && this.#leadsTo(reference, within, isEager)) return UNKNOWN;
    const known = this.#aliases.get(reference);
    if (known !== undefined) return { text: known, loose: false };
    const alias = this.#freeName(reference);
    this.#aliases.set(reference, alias);
    return { text: alias, loose: false };
  }

  /** What the schema says itself, without the schemas that it combines. */
  #own(schema: Fields, place: Place): TypeText {
    if (Array.isArray(schema['enum'])) return union(schema['enum'].map(literal));
    if (Object.hasOwn(schema, 'const')) return literal(schema['const']);
    const types = [schema['type'] ?? impliedType(schema)].flat();
    return union(types.map((type) => this.#ofType(type, schema, place)));
  }

  #ofType(type: unknown, schema: Fields, place: Place): TypeText {
    switch (type) {
      case 'string':
      case 'number':
      case 'boolean':
      case 'null':
        return { text: type, loose: false };
      case 'integer':
        return { text: 'number', loose: false };
      case 'array':
        return this.#array(schema, place.isEager ? place : { ...place, within: undefined });
      case 'object':
        return this.#object(schema, { ...place, within: undefined, isEager: false });
      default:
        return UNKNOWN;
    }
  }

  #array(schema: Fields, place: Place): TypeText {
    const { prefixItems, items, additionalItems, minItems } = schema;
    const first = Array.isArray(prefixItems) ? prefixItems : Array.isArray(items) ? items : undefined;
    if (first === undefined) return arrayOf(this.#type(items, place));
    const required = typeof minItems === 'number' ? minItems : first.length;
    const elements = first.map((item, index) => {
      const type = this.#type(item, place);
      return index < required ? type.text : `${tight(type)}?`;
    });
    const rest = first === prefixItems ? items : additionalItems;
    if (isFields(rest) || rest === true) elements.push(`...${arrayOf(this.#type(rest, place)).text}`);
    return { text: `[${elements.join(', ')}]`, loose: false };
  }

  #object(schema: Fields, place: Place): TypeText {
    const properties = fieldsOf(schema['properties']);
    const required = new Set(stringsOf(schema['required']));
    const names = new Set([...Object.keys(properties), ...required]);
    const lines = [...names].map((name) => {
      const property = Object.hasOwn(properties, name) ? properties[name] : true;
      const type = this.#type(property, place).text;
      return `${docComment(documentation(property))}${propertyKey(name)}${required.has(name) ? '' : '?'}: ${type};\n`;
    });
    const others = this.#otherProperties(schema, names.size > 0, place);
    if (others !== undefined) lines.push(`[key: string]: ${others};\n`);
    return { text: `{\n${lines.join('').replace(/^(?=.)/gm, '  ')}}`, loose: false };
  }

  /** The type of properties that are not listed; undefined when there are none. A list without a word on others is complete. */
  #otherProperties(schema: Fields, hasNames: boolean, place: Place): string | undefined {
    const unlisted = schema['additionalProperties'] ?? (!hasNames && !isFields(schema['properties']));
    const others = isFields(schema['patternProperties']) || unlisted;
    if (!hasNames) return this.#type(others, place).text;
    return others === false ? undefined : UNKNOWN.text;
  }

  /** Whether an alias for `from` would, through references alone or also through arrays, be defined by the one for `to`. */
  #leadsTo(from: string, to: string, throughArrays: boolean): boolean {
    const seen = new Set<string>();
    const waiting = [from];
    for (let pointer = waiting.pop(); pointer !== undefined; pointer = waiting.pop()) {
      if (pointer === to) return true;
      if (seen.has(pointer)) continue;
      seen.add(pointer);
      for (const next of references(resolvePointer(this.#root, pointer), throughArrays)) waiting.push(next);
    }
    return false;
  }

  #freeName(pointer: string): string {
    const words = pointer.slice(pointer.lastIndexOf('/')).match(/[A-Za-z0-9]+/g) ?? ['Part'];
    const wanted = this.#name + words.map(pascalCase).join('');
    let name = wanted;
    for (let number = 2; this.#taken.has(name); number += 1) name = `${wanted}${number}`;
    this.#taken.add(name);
    return name;
  }
}

/** What a schema refers to outside of its properties. */
function references(schema: unknown, throughArrays: boolean): string[] {
  const found: string[] = [];
  const waiting = [schema];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (!isFields(next)) continue;
    const { $ref, anyOf, oneOf, allOf, items, prefixItems, additionalItems } = next;
    if (isString($ref)) found.push($ref);
    const parts = [anyOf, oneOf, allOf, ...(throughArrays ? [items, prefixItems, additionalItems] : [])];
    for (const part of parts.flat()) waiting.push(part);
  }
  return found;
}

/** Whether a schema takes more than one type to say. */
function isIntersection(schema: Fields): boolean {
  const own = ['type', 'enum', 'const'].some((key) => key in schema) || impliedType(schema) !== undefined;
  const combined = [schema['$ref'], schema['anyOf'], schema['oneOf']].filter((part) => part !== undefined);
  const members = Array.isArray(schema['allOf']) ? schema['allOf'].length : 0;
  return Number(own) + combined.length + members > 1;
}

function impliedType(schema: Fields): string | undefined {
  if (['properties', 'required', 'additionalProperties', 'patternProperties'].some((key) => key in schema))
    return 'object';
  return 'items' in schema || 'prefixItems' in schema ? 'array' : undefined;
}

function literal(value: unknown): TypeText {
  if (isString(value)) return { text: quote(value), loose: false };
  const isPlain = value === null || typeof value === 'boolean' || Number.isFinite(value);
  return isPlain ? { text: String(value), loose: false } : UNKNOWN;
}

function documentation(property: unknown): string[] {
  if (!isFields(property)) return [];
  const { description, default: value } = property;
  const fallback = value === undefined ? '' : `Default: ${JSON.stringify(value)}`;
  return [isString(description) ? description : '', fallback];
}

function propertyKey(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name);
}
