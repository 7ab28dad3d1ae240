import { describe, expect, test } from 'vitest';
import { renderPythonWrapper } from '../../../src/codegen/python-wrapper.ts';
import { readSchema } from '../../../src/codegen/read-schema.ts';
import { typescriptTypes } from '../../../src/codegen/typescript-types.ts';
import type { JsonSchema } from '../../../src/core/tool.ts';

const schemaToType = (name: string, schema: JsonSchema): string => typescriptTypes(readSchema(name, schema));

/** What is said of `T` beside its type. */
const factsOf = (schema: JsonSchema): readonly string[] | undefined => readSchema('T', schema)[0]?.docs.facts;

/** The type of the alias `T`, on one line. */
function typeOf(schema: JsonSchema): string {
  const text = schemaToType('T', schema)
    .replace(/^\/\*\*[\s\S]*?\*\/\n/, '')
    .replace(/\s+/g, ' ')
    .trim();
  expect(text.startsWith('export type T = ')).toBe(true);
  return text.slice('export type T = '.length).replace(/;$/, '');
}

describe('readSchema()', () => {
  test.each<[JsonSchema, string]>([
    [true, 'unknown'],
    [false, 'never'],
    [{}, 'unknown'],
    [{ type: 'integer' }, 'number'],
    [{ type: ['string', 'null'] }, 'string | null'],
    [{ type: 'string', nullable: true }, 'string | null'],
    [{ type: 'float' }, 'unknown'],
    [{ enum: ['a', 'it\'s "b"', 1, -2, null, true] }, "'a' | 'it\\'s \"b\"' | 1 | -2 | true | null"],
    [{ enum: [] }, 'never'],
    [{ enum: ['a', { b: [1] }] }, "'a' | { b: [1]; }"],
    [{ enum: ['a'], nullable: true }, "'a' | null"],
    [{ type: ['integer', 'number'] }, 'number'],
    [{ anyOf: [{ type: 'string' }, { anyOf: [{ type: 'null' }, { type: 'string' }] }] }, 'string | null'],
    [{ type: 'object', properties: {}, allOf: [{ properties: { a: {} } }] }, '{ a?: unknown; }'],
    [
      { patternProperties: { '^x': { type: 'number' } }, additionalProperties: { type: 'string' } },
      '{ [key: string]: number | string; }',
    ],
    [{ const: 'x' }, "'x'"],
    [{ anyOf: [{ type: 'string' }, { type: 'number' }] }, 'string | number'],
    [{ oneOf: [{ type: 'string' }, {}] }, 'unknown'],
    [{ allOf: [{ type: 'string' }, { enum: ['a', 'b'] }] }, "string & ('a' | 'b')"],
    [{ type: 'array', items: { type: ['string', 'number'] } }, '(string | number)[]'],
    [{ type: 'array' }, 'unknown[]'],
    [
      { prefixItems: [{ type: 'string' }, { type: 'number' }], items: { type: 'boolean' } },
      '[string, number, ...boolean[]]',
    ],
    [{ type: 'array', items: [{ type: 'string' }, { type: 'number' }], minItems: 1 }, '[string, number?]'],
    [{ type: 'object' }, '{ [key: string]: unknown; }'],
    [{ type: 'object', properties: {} }, '{ [key: string]: never; }'],
    [{ type: 'object', additionalProperties: { type: 'number' } }, '{ [key: string]: number; }'],
    [{ type: 'object', patternProperties: { '^x': {} }, additionalProperties: false }, '{ [key: string]: unknown; }'],
    [{ patternProperties: { '^x': { type: 'number' } } }, '{ [key: string]: number; }'],
  ])('renders %j', (schema, type) => {
    expect(typeOf(schema)).toBe(type);
  });

  test('makes a property optional unless it is required, never null', () => {
    const schema = {
      type: 'object',
      properties: { a: { type: 'string' }, 'b-c': { type: 'number' } },
      required: ['a', 'z'],
    };
    expect(typeOf(schema)).toBe("{ a: string; 'b-c'?: number; z: unknown; }");
  });

  test('keeps listed properties beside unlisted ones valid', () => {
    const schema = { properties: { a: { type: 'string' } }, additionalProperties: { type: 'number' } };
    expect(typeOf(schema)).toBe('{ a?: string; [key: string]: unknown; }');
  });

  test('says which of several inputs an object needs', () => {
    const schema = { properties: { a: {}, b: {} }, anyOf: [{ required: ['a'] }, { required: ['b'] }] };
    expect(typeOf(schema)).toBe('{ a?: unknown; b?: unknown; } & ({ a: unknown; } | { b: unknown; })');
  });

  test('documents properties, with their default', () => {
    const text = schemaToType('T', { properties: { a: { type: 'number', description: 'How */ many', default: 3 } } });
    expect(text).toBe(
      'export type T = {\n  /**\n   * How *\\/ many\n   *\n   * Default: 3\n   */\n  a?: number;\n};\n',
    );
  });

  test('names what is referred to, also when it refers to itself', () => {
    const tree = { type: 'object', properties: { children: { type: 'array', items: { $ref: '#/$defs/tree' } } } };
    const text = schemaToType('T', { type: 'object', properties: { root: { $ref: '#/$defs/tree' } }, $defs: { tree } });
    expect(text.replace(/\s+/g, ' ')).toBe(
      'export type T = { root?: TTree; }; export type TTree = { children?: TTree[]; }; ',
    );
  });

  test('resolves definitions, the root and escaped pointers, and leaves the rest unknown', () => {
    const schema = {
      properties: {
        a: { $ref: '#/definitions/x~1y%20z' },
        b: { $ref: '#' },
        c: { $ref: '#/definitions/none' },
        d: { $ref: 'https://example.com/schema' },
        e: { $ref: '#/%' },
        f: { $ref: '#/definitions/constructor' },
      },
      definitions: { 'x/y z': { type: 'string' } },
    };
    const text = schemaToType('T', schema);
    expect(text).toContain('/** Not typed: the reference "#/definitions/none" leads nowhere */\n  c?: unknown;');
    expect(text.replace(/ *\/\*\*.*\*\//g, '').replace(/\s+/g, ' ')).toBe(
      'export type T = { a?: TX1y20z; b?: T; c?: unknown; d?: unknown; e?: unknown; f?: unknown; }; export type TX1y20z = string; ',
    );
  });

  test('ends references that lead only to one another', () => {
    const loop = { a: { $ref: '#/$defs/b' }, b: { anyOf: [{ $ref: '#/$defs/a' }, { type: 'string' }] } };
    expect(typeOf({ $ref: '#' })).toBe('unknown');
    expect(schemaToType('T', { properties: { x: { $ref: '#/$defs/a' } }, $defs: loop })).toContain('TA = unknown');
  });

  test('lets an array refer to its own alias, but not inside an intersection', () => {
    const list = { type: 'array', items: { $ref: '#' } };
    expect(typeOf({ anyOf: [list, { type: 'string' }] })).toBe('T[] | string');
    expect(typeOf({ allOf: [list, { required: ['a'] }] })).toBe('unknown[] & { a: unknown; }');
  });

  test('is unknown below 24 levels of nesting', () => {
    const nested = (levels: number): JsonSchema =>
      levels === 0 ? { type: 'string' } : { type: 'array', items: nested(levels - 1) };
    expect(typeOf(nested(24))).toBe(`string${'[]'.repeat(24)}`);
    expect(typeOf(nested(25))).toBe(`unknown${'[]'.repeat(25)}`);
  });

  test('resolves anchors and ids', () => {
    const schema = {
      $id: 'https://example.com/root',
      properties: {
        a: { $ref: '#node' },
        b: { $ref: 'https://example.com/root' },
        c: { $ref: 'https://example.com/root#/$defs/n' },
        d: { $dynamicRef: '#node' },
        e: { $ref: 'urn:x' },
      },
      $defs: { n: { $anchor: 'node', type: 'string' }, m: { $id: 'urn:x', type: 'number' } },
    };
    expect(schemaToType('T', schema).replace(/\s+/g, ' ')).toMatch(
      /^export type T = { a\?: TNode; b\?: TRoot; c\?: TN; d\?: TNode; e\?: TX; };/,
    );
  });

  test.each<[JsonSchema, readonly string[]]>([
    [{ type: 'integer', minimum: 1, maximum: 10 }, ['at least 1', 'at most 10']],
    [
      { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1, multipleOf: 0.1 },
      ['above 0', 'below 1', 'a multiple of 0.1'],
    ],
    [{ type: 'string', format: 'date-time', minLength: 1, maxLength: 50 }, ['format date-time', '1 to 50 characters']],
    [
      { type: 'string', pattern: '^a+$', minLength: 2, contentEncoding: 'base64' },
      ['at least 2 characters', 'pattern ^a+$', 'encoding base64'],
    ],
    [
      { type: 'array', minItems: 1, maxItems: 1, uniqueItems: true, items: { format: 'uri' } },
      ['1 item', 'no two alike', 'each format uri'],
    ],
    [{ anyOf: [{ type: 'integer', minimum: 0 }, { type: 'null' }] }, ['at least 0']],
    [{ type: 'string', minimum: 'x', format: 7, pattern: '' }, []],
  ])('says of %j what its type cannot', (schema, facts) => {
    expect(factsOf(schema)).toEqual(facts);
  });

  test('says why something has no type', () => {
    expect(factsOf({ type: 'dict' })).toEqual(['not typed: "dict" is no type of JSON Schema']);
    expect(factsOf({ anyOf: [{ $ref: '#' }] })).toEqual(['not typed: the reference "#" leads to itself']);
    expect(factsOf({ type: 'array', items: 'text' })).toEqual([
      'not typed: the schema is neither an object nor true or false',
    ]);
  });

  test('documents defaults, examples and deprecation', () => {
    const a = { type: 'integer', minimum: 0, default: 5, examples: [7], deprecated: true };
    expect(schemaToType('T', { properties: { a } })).toBe(
      'export type T = {\n  /**\n   * Integer, at least 0\n   * Default: 5\n   * Example: 7\n   * @deprecated\n   */\n  a?: number;\n};\n',
    );
  });

  test.each<[string, () => JsonSchema]>([
    [
      'ten thousand properties',
      () => ({ properties: Object.fromEntries(many(10_000, (i) => [`property${i}`, { type: 'string' }])) }),
    ],
    ['a hundred thousand values', () => ({ enum: many(100_000, (i) => `value${i}`) })],
    ['a name of a megabyte', () => ({ properties: { ['x'.repeat(1_000_000)]: {} } })],
    [
      'descriptions of a megabyte each',
      () => ({
        properties: Object.fromEntries(many(100, (i) => [`p${i}`, { description: '\n\u202e'.repeat(500_000) }])),
      }),
    ],
    [
      'four thousand definitions in a chain',
      () => ({
        $ref: '#/$defs/d0',
        $defs: Object.fromEntries(
          many(4_000, (i) => [`d${i}`, { properties: { next: { $ref: `#/$defs/d${i + 1}` } } }]),
        ),
      }),
    ],
    [
      'references from all to all',
      () => ({
        $ref: '#/$defs/d0',
        $defs: Object.fromEntries(
          many(200, (i) => [`d${i}`, { anyOf: many(200, (j) => ({ $ref: `#/$defs/d${(i + j) % 200}` })) }]),
        ),
      }),
    ],
    [
      'alternatives that multiply',
      () => ({
        allOf: many(12, () => ({
          anyOf: many(12, (i) => ({ properties: { [`p${i}`]: { anyOf: many(4, (j) => ({ const: j })) } } })),
        })),
      }),
    ],
    ['a default that is nested very deep', () => ({ properties: { a: { default: nestedArray(5_000) } } })],
    ['a schema that is nested very deep', () => JSON.parse(`${'{"items":'.repeat(4_000)}true${'}'.repeat(4_000)}`)],
  ])('keeps %s within bounds', (_, schema) => {
    const startedAt = performance.now();
    const declarations = readSchema('T', schema());
    expect(typescriptTypes(declarations).length).toBeLessThan(1024 * 1024);
    const tool = {
      kind: 'upstream',
      server: 's',
      tool: 't',
      identifier: 't',
      pythonIdentifier: 't',
      description: '',
    } as const;
    expect(renderPythonWrapper({ ...tool, inputSchema: schema(), outputSchema: schema() }).length).toBeLessThan(
      1024 * 1024,
    );
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});

function many<T>(count: number, item: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => item(index));
}

function nestedArray(depth: number): unknown {
  return JSON.parse('['.repeat(depth) + ']'.repeat(depth));
}
