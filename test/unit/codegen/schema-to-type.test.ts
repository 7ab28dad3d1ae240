import { describe, expect, test } from 'vitest';
import { schemaToType } from '../../../src/codegen/schema-to-type.ts';
import type { JsonSchema } from '../../../src/core/tool.ts';

/** The type of the alias `T`, on one line. */
function typeOf(schema: JsonSchema): string {
  const text = schemaToType('T', schema).replace(/\s+/g, ' ').trim();
  expect(text.startsWith('export type T = ')).toBe(true);
  return text.slice('export type T = '.length).replace(/;$/, '');
}

describe('schemaToType()', () => {
  test.each<[JsonSchema, string]>([
    [true, 'unknown'],
    [false, 'never'],
    [{}, 'unknown'],
    [{ type: 'integer' }, 'number'],
    [{ type: ['string', 'null'] }, 'string | null'],
    [{ type: 'string', nullable: true }, 'string | null'],
    [{ type: 'float' }, 'unknown'],
    [{ enum: ['a', 'it\'s "b"', 1, -2, null, true] }, "'a' | 'it\\'s \"b\"' | 1 | -2 | null | true"],
    [{ enum: [] }, 'never'],
    [{ enum: ['a', {}] }, 'unknown'],
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
    expect(schemaToType('T', schema).replace(/\s+/g, ' ')).toBe(
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
});
