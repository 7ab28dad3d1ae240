import type { JsonSchema } from '../../src/core/tool.ts';

/** One input of a tool as some generator of schemas writes it. */
export interface SchemaSample {
  readonly name: string;
  readonly schema: JsonSchema;
  /** What the schema allows, and the type must too. */
  readonly valid: readonly unknown[];
  /** What the schema refuses, and the type must too. */
  readonly invalid: readonly unknown[];
}

/** The shapes in which real servers publish their schemas, one of each; written for these tests. */
export const SCHEMA_SAMPLES: readonly SchemaSample[] = [
  {
    name: 'zod: plain fields, an enumeration, a default',
    schema: {
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: 'object',
      properties: {
        path: { type: 'string', minLength: 1 },
        encoding: { type: 'string', enum: ['utf-8', 'base64', 'it\'s "odd"', 'a\nb'], default: 'utf-8' },
        limit: { type: 'integer', exclusiveMinimum: 0, maximum: 9007199254740991 },
      },
      required: ['path'],
      additionalProperties: false,
    },
    valid: [{ path: 'a' }, { path: 'a', encoding: 'base64', limit: 3 }, { path: 'a', encoding: 'it\'s "odd"' }],
    invalid: [{}, { path: 1 }, { path: 'a', encoding: 'latin1' }, { path: 'a', other: 1 }, { path: 'a', limit: null }],
  },
  {
    name: 'pydantic: optional as null, titles, models by reference',
    schema: {
      title: 'searchArguments',
      type: 'object',
      $defs: {
        Order: { title: 'Order', type: 'string', enum: ['asc', 'desc'] },
        Filter: {
          title: 'Filter',
          type: 'object',
          properties: {
            field: { title: 'Field', type: 'string' },
            value: { anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'null' }], title: 'Value' },
          },
          required: ['field', 'value'],
        },
      },
      properties: {
        query: { title: 'Query', type: 'string' },
        filters: { anyOf: [{ items: { $ref: '#/$defs/Filter' }, type: 'array' }, { type: 'null' }], default: null },
        order: { allOf: [{ $ref: '#/$defs/Order' }], default: 'asc' },
      },
      required: ['query'],
    },
    valid: [
      { query: 'a' },
      { query: 'a', filters: null },
      { query: 'a', filters: [{ field: 'b', value: null }], order: 'desc' },
    ],
    invalid: [{ query: null }, { query: 'a', filters: [{ field: 'b' }] }, { query: 'a', order: 'up' }],
  },
  {
    name: 'schemars: definitions, a tagged union',
    schema: {
      $ref: '#/definitions/Args',
      definitions: {
        Args: { type: 'object', required: ['target'], properties: { target: { $ref: '#/definitions/Target' } } },
        Target: {
          oneOf: [
            {
              type: 'object',
              required: ['kind', 'url'],
              properties: { kind: { const: 'web' }, url: { type: 'string', format: 'uri' } },
            },
            {
              type: 'object',
              required: ['kind', 'path'],
              properties: { kind: { type: 'string', enum: ['file'] }, path: { type: 'string' } },
            },
          ],
        },
      },
    },
    valid: [{ target: { kind: 'web', url: 'x' } }, { target: { kind: 'file', path: 'x' } }],
    invalid: [{}, { target: { kind: 'web' } }, { target: { kind: 'file', url: 'x' } }, { target: { kind: 'ftp' } }],
  },
  {
    name: 'a tree',
    schema: {
      type: 'object',
      properties: { root: { $ref: '#/$defs/node' } },
      required: ['root'],
      $defs: {
        node: {
          type: 'object',
          properties: { value: { type: 'number' }, children: { type: 'array', items: { $ref: '#/$defs/node' } } },
          required: ['value'],
        },
      },
    },
    valid: [{ root: { value: 1 } }, { root: { value: 1, children: [{ value: 2, children: [] }] } }],
    invalid: [{ root: { value: 1, children: [{}] } }, { root: { value: 1, children: [{ value: 2, children: [3] }] } }],
  },
  {
    name: 'any JSON, by a reference to itself',
    schema: {
      type: 'object',
      properties: { data: { $ref: '#/$defs/json' } },
      required: ['data'],
      $defs: {
        json: {
          anyOf: [
            { type: ['string', 'number', 'boolean', 'null'] },
            { type: 'array', items: { $ref: '#/$defs/json' } },
            { type: 'object', additionalProperties: { $ref: '#/$defs/json' } },
          ],
        },
      },
    },
    valid: [{ data: null }, { data: [1, { a: ['b', null] }] }],
    invalid: [{}],
  },
  {
    name: 'parts of an object from several schemas',
    schema: {
      type: 'object',
      allOf: [
        { properties: { id: { type: 'string' } }, required: ['id'] },
        { $ref: '#/$defs/page' },
        { anyOf: [{ required: ['from'] }, { required: ['to'] }] },
      ],
      properties: { from: { type: 'string' }, to: { type: 'string' } },
      $defs: { page: { type: 'object', properties: { page: { type: 'integer', minimum: 1, default: 1 } } } },
    },
    valid: [
      { id: 'a', from: 'b' },
      { id: 'a', to: 'b', page: 2 },
    ],
    invalid: [{ id: 'a' }, { from: 'b' }, { id: 'a', from: 1 }, { id: 'a', to: 'b', page: 'x' }],
  },
  {
    name: 'tuples of both drafts',
    schema: {
      type: 'object',
      properties: {
        point: { type: 'array', prefixItems: [{ type: 'number' }, { type: 'number' }], minItems: 2, items: false },
        row: { type: 'array', items: [{ type: 'string' }], additionalItems: { type: 'number' } },
        pair: { type: 'array', items: [{ enum: ['a', 'b'] }, { type: 'boolean' }], minItems: 1 },
      },
    },
    valid: [{ point: [1, 2] }, { row: ['a', 1, 2] }, { pair: ['a'] }, { pair: ['b', true] }, {}],
    invalid: [{ point: [1] }, { point: [1, 2, 3] }, { row: [1] }, { row: ['a', 'b'] }, { pair: ['c'] }, { pair: [] }],
  },
  {
    name: 'maps and patterns',
    schema: {
      type: 'object',
      properties: {
        headers: { type: 'object', additionalProperties: { type: 'string' } },
        env: {
          type: 'object',
          patternProperties: { '^[A-Z]+$': { type: ['string', 'number'] } },
          additionalProperties: false,
        },
        anything: { type: 'object', additionalProperties: true },
        nothing: { type: 'object', properties: {}, additionalProperties: false },
      },
      additionalProperties: { type: 'number' },
    },
    valid: [{ headers: { a: 'b' }, env: { A: 1, B: 'x' }, anything: { a: [] }, nothing: {} }, { more: 3 }],
    invalid: [{ headers: { a: 1 } }, { env: { A: true } }, { nothing: { a: 1 } }],
  },
  {
    name: 'OpenAPI: nullable, deprecated, read-only',
    schema: {
      type: 'object',
      properties: {
        owner: { type: 'string', nullable: true, description: 'The owner */ """ of it' },
        state: { type: 'string', enum: ['open', 'closed'], nullable: true },
        old: { type: 'boolean', deprecated: true, readOnly: true },
      },
      required: ['owner'],
    },
    valid: [{ owner: null }, { owner: 'a', state: null, old: true }],
    invalid: [{}, { owner: 'a', state: 'other' }, { owner: 'a', old: null }],
  },
  {
    name: 'names that are no identifiers',
    schema: {
      type: 'object',
      properties: {
        'content-type': { type: 'string' },
        class: { type: 'string' },
        from: {
          type: 'object',
          properties: { '@id': { type: 'integer' }, 'a b': { type: 'string' } },
          required: ['@id'],
        },
        '': { type: 'boolean' },
        日本: { type: 'string' },
        __proto: { type: 'string' },
      },
      required: ['content-type'],
    },
    valid: [{ 'content-type': 'a', class: 'b', from: { '@id': 1, 'a b': 'c' }, '': true, 日本: 'd' }],
    invalid: [{ class: 'b' }, { 'content-type': 'a', from: {} }, { 'content-type': 'a', '': 1 }],
  },
  {
    name: 'values of every kind',
    schema: {
      type: 'object',
      properties: {
        level: { enum: [1, 2, 3.5, -4] },
        flag: { const: true },
        mixed: { enum: ['x', 0, false, null] },
        whole: { const: { version: 1, tags: ['a'] } },
      },
    },
    valid: [
      { level: 3.5, flag: true, mixed: null, whole: { version: 1, tags: ['a'] } },
      { mixed: 0, level: -4 },
    ],
    invalid: [{ level: 4 }, { flag: false }, { mixed: 1 }, { whole: { version: 2, tags: ['a'] } }],
  },
  {
    name: 'boolean schemas, and required names without a schema',
    schema: { type: 'object', properties: { any: true, none: false, empty: {} }, required: ['any', 'mystery'] },
    valid: [{ any: 1, mystery: [] }],
    invalid: [{ any: 1 }, { any: 1, mystery: 2, none: 3 }],
  },
  {
    name: 'what says nothing, or nonsense',
    schema: {
      type: 'object',
      properties: {
        a: { type: 'dict' },
        b: { $ref: '#/nowhere' },
        c: { type: 'array', items: 'string' },
        d: 'string',
        e: { type: [] },
        f: { anyOf: 'x', enum: 'y' },
      },
      required: 'a',
    },
    valid: [{ a: 1, b: 2, c: [3], d: 4, f: 5 }],
    invalid: [{ c: 3 }],
  },
  { name: 'no input at all', schema: { type: 'object', properties: {} }, valid: [{}], invalid: [{ a: 1 }] },
  { name: 'no schema', schema: true, valid: [{}, { a: 1 }], invalid: [] },
  { name: 'only a type', schema: { type: 'object' }, valid: [{}, { a: 1 }], invalid: [3] },
  {
    name: 'one of several inputs',
    schema: {
      type: 'object',
      oneOf: [
        { properties: { id: { type: 'integer' } }, required: ['id'], additionalProperties: false },
        { properties: { name: { type: 'string' }, org: { type: 'string' } }, required: ['name'] },
      ],
    },
    valid: [{ id: 1 }, { name: 'a', org: 'b' }],
    invalid: [{ id: 'a' }, { org: 'b' }],
  },
];
