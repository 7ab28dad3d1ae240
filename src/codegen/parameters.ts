import { type Fields, fieldsOf, isString, stringsOf } from '../core/fields.ts';
import type { JsonSchema } from '../core/tool.ts';

/** What a value in a sentence has to be to fill a parameter; `structure` is what no sentence spells out. */
export type ParameterKind =
  | 'number'
  | 'integer'
  | 'boolean'
  | 'text'
  | 'expression'
  | 'choice'
  | 'numbers'
  | 'texts'
  | 'structure';

export interface Parameter {
  readonly name: string;
  readonly description: string;
  readonly required: boolean;
  readonly kind: ParameterKind;
  /** The values of a `choice`. */
  readonly choices: readonly string[];
}

/** The parameters of a tool, in the order of its schema. */
export function readParameters(inputSchema: JsonSchema): Parameter[] {
  const properties = fieldsOf(fieldsOf(inputSchema)['properties']);
  const required = new Set(stringsOf(fieldsOf(inputSchema)['required']));
  return [...new Set([...Object.keys(properties), ...required])].map((name) => {
    const schema = Object.hasOwn(properties, name) ? fieldsOf(properties[name]) : {};
    const description = typeof schema['description'] === 'string' ? schema['description'] : '';
    const kind = kindOf(schema, `${name} ${description} ${schema['format']}`);
    return { name, description, required: required.has(name), kind, choices: stringsOf(schema['enum']) };
  });
}

/** What a task would have to say for the parameter, such as `a number`. */
export function expectedValue({ kind, choices }: Parameter): string {
  return kind === 'choice' ? `one of ${choices.map((choice) => JSON.stringify(choice)).join(', ')}` : EXPECTED[kind];
}

const EXPECTED = {
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  text: 'a text in quotes',
  expression: 'an arithmetic expression',
  numbers: 'numbers',
  texts: 'texts in quotes',
  structure: 'a structured value',
} as const satisfies Record<Exclude<ParameterKind, 'choice'>, string>;

const EXPRESSION = /expression|formula|equation|arithmetic/i;

function kindOf(schema: Fields, words: string): ParameterKind {
  if (Array.isArray(schema['enum'])) return schema['enum'].every(isString) ? 'choice' : 'structure';
  switch (schema['type']) {
    case 'number':
    case 'integer':
    case 'boolean':
      return schema['type'];
    case 'string':
      return EXPRESSION.test(words) ? 'expression' : 'text';
    case 'array':
      return arrayKind(fieldsOf(schema['items'])['type']);
    default:
      return 'structure';
  }
}

function arrayKind(itemType: unknown): ParameterKind {
  if (itemType === 'number' || itemType === 'integer') return 'numbers';
  return itemType === 'string' ? 'texts' : 'structure';
}
