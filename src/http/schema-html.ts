import type { JsonSchemaObject } from './json-schemas.ts';

/** A JSON Schema as people read types, with its descriptions; components are links to `#schema-NAME`. */
export function schemaHtml(schema: JsonSchemaObject, indent = ''): string {
  const { $ref, const: constant, enum: values, type, anyOf, oneOf } = schema;
  if (typeof $ref === 'string') return linkTo($ref);
  if (constant !== undefined) return text(JSON.stringify(constant));
  if (Array.isArray(values)) return values.map((value) => text(JSON.stringify(value))).join(' | ');
  const choices = anyOf ?? oneOf;
  if (Array.isArray(choices))
    return [...new Set(choices.map((each: JsonSchemaObject) => schemaHtml(each, indent)))].join(' | ');
  if (Array.isArray(type))
    return type.map((each: unknown) => schemaHtml({ ...schema, type: each }, indent)).join(' | ');
  if (type === 'array') return arrayHtml(schema, indent);
  if (type === 'object') return objectHtml(schema, indent);
  return typeof type === 'string' ? text(type) : 'any JSON';
}

/** What is said of a schema besides its type. */
export function notesOf({ description, ...schema }: JsonSchemaObject): string {
  const told = NOTES.flatMap(([keyword, word]) => {
    const value = schema[keyword];
    const isNone = value === undefined || Math.abs(Number(value)) === Number.MAX_SAFE_INTEGER;
    return isNone ? [] : [`${word} ${JSON.stringify(value)}`];
  });
  const about = typeof description === 'string' && description !== '' ? [description] : [];
  return [...about, ...told].map(text).join('; ');
}

const NOTES = [
  ['minimum', 'at least'],
  ['exclusiveMinimum', 'above'],
  ['maximum', 'at most'],
  ['minLength', 'characters: at least'],
  ['maxLength', 'characters: at most'],
  ['default', 'default'],
] as const;

export function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function linkTo(reference: string): string {
  const name = text(reference.split('/').at(-1) ?? '');
  return `<a href="#schema-${name}">${name}</a>`;
}

function arrayHtml({ items = {} }: JsonSchemaObject, indent: string): string {
  const item = schemaHtml(items as JsonSchemaObject, indent);
  return item.includes(' | ') ? `(${item})[]` : `${item}[]`;
}

function objectHtml(schema: JsonSchemaObject, indent: string): string {
  const {
    properties = {},
    required = [],
    additionalProperties,
  } = schema as {
    readonly properties?: Readonly<Record<string, JsonSchemaObject>>;
    readonly required?: readonly string[];
    readonly additionalProperties?: boolean | JsonSchemaObject;
  };
  const inner = `${indent}  `;
  const fields = Object.entries(properties).map(([name, field]) => {
    const notes = notesOf(field);
    const comment = notes === '' ? '' : ` <i>// ${notes}</i>`;
    return `${inner}${text(name)}${required.includes(name) ? '' : '?'}: ${schemaHtml(field, inner)}${comment}\n`;
  });
  const hasMore = typeof additionalProperties === 'object';
  const more = hasMore ? [`${inner}[name]: ${schemaHtml(additionalProperties, inner)}\n`] : [];
  return `{\n${[...fields, ...more].join('')}${indent}}`;
}
