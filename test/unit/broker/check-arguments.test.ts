import { describe, expect, it } from 'vitest';
import { checkArguments } from '../../../src/broker/check-arguments.ts';
import type { JsonSchema } from '../../../src/core/tool.ts';

const DRAFT_07 = 'http://json-schema.org/draft-07/schema#';
const object = (properties: Record<string, unknown>, more: Record<string, unknown> = {}): JsonSchema => ({
  type: 'object',
  properties,
  ...more,
});
const problem = (schema: JsonSchema, args: unknown): string => {
  const check = checkArguments(schema, args);
  return check.kind === 'invalid' ? check.problem : check.kind;
};

describe('readable problems', () => {
  const entities = object({
    entities: { type: 'array', items: object({ name: { type: 'string' } }, { required: ['name'] }) },
  });

  it.each([
    [entities, { entities: [{ name: 1 }] }, 'entities[0].name must be string'],
    [entities, { entities: [{ name: 'a' }, {}] }, 'entities[1] must have the property "name"'],
    [entities, { entities: 'x' }, 'entities must be array'],
    [object({}, { required: ['a'] }), {}, 'arguments must have the property "a"'],
    [object({}, { additionalProperties: false }), { 'a b': 1 }, 'arguments must not have the property "a b"'],
    [object({ 'a/b~c': { type: 'string' } }), { 'a/b~c': 1 }, '["a/b~c"] must be string'],
    [object({ a: { enum: ['x', 'y'] } }), { a: 'z' }, 'a must be one of "x","y"'],
    [object({ a: { type: 'number', minimum: 1 } }), { a: 0 }, 'a must be >= 1'],
    [object({ a: { format: 'email' } }), { a: 'nobody' }, 'a must match format "email"'],
  ])('%#: %j', (schema, args, text) => {
    expect(problem(schema, args)).toBe(text);
  });

  it('stay short, whatever the guest sent', () => {
    const schema = object({}, { additionalProperties: { type: 'string' } });
    expect(problem(schema, { ['k'.repeat(10_000)]: 1 }).length).toBeLessThan(250);
  });
});

describe('dialects', () => {
  const pair = { type: 'array', prefixItems: [{ type: 'string' }], items: false };
  const tuple = { type: 'array', items: [{ type: 'string' }], additionalItems: false };

  it.each([
    ['2020-12 without $schema', object({ a: pair })],
    ['2020-12', object({ a: pair }, { $schema: 'https://json-schema.org/draft/2020-12/schema' })],
    ['a dialect that nobody knows, as 2020-12', object({ a: pair }, { $schema: 'https://example.com/own' })],
    ['a $schema that is no text', object({ a: pair }, { $schema: 7 })],
    ['2019-09', object({ a: tuple }, { $schema: 'https://json-schema.org/draft/2019-09/schema' })],
    ['draft-07', object({ a: tuple }, { $schema: DRAFT_07 })],
    ['draft-06', object({ a: tuple }, { $schema: 'http://json-schema.org/draft-06/schema#' })],
  ])('%s', (_name, schema) => {
    expect(checkArguments(schema, { a: ['x'] })).toEqual({ kind: 'valid' });
    expect(checkArguments(schema, { a: [1] })).toMatchObject({ kind: 'invalid' });
    expect(checkArguments(schema, { a: ['x', 'y'] })).toMatchObject({ kind: 'invalid' });
  });

  it('follow references within a schema', () => {
    const node = object({ next: { $ref: '#/$defs/node' } }, { additionalProperties: false });
    const schema = { $ref: '#/$defs/node', $defs: { node } };
    expect(checkArguments(schema, { next: { next: {} } })).toEqual({ kind: 'valid' });
    expect(problem(schema, { next: { nxt: {} } })).toBe('next must not have the property "nxt"');
  });
});

describe('odd schemas', () => {
  it.each([
    ['true takes everything', true, 'valid'],
    ['false takes nothing', false, 'invalid'],
    ['unknown keywords are ignored', { type: 'object', 'x-own': 1, nullable: true }, 'valid'],
    ['unknown formats are ignored', object({ a: { type: 'string', format: 'own' } }), 'valid'],
    ['a pattern that only works without the u flag', object({ a: { pattern: '^[\\w-.]+$' } }), 'valid'],
    ['an unknown type', { type: 'nonsense' }, 'unusable'],
    ['a reference to nowhere', { $ref: '#/nowhere' }, 'unusable'],
    ['a reference to the network', { $ref: 'https://example.com/schema.json' }, 'unusable'],
    ['a pattern that is none', object({ a: { pattern: '(' } }), 'unusable'],
    ['properties that are a list', { type: 'object', properties: [1] }, 'unusable'],
    ['required of draft-04', object({ a: { required: true } }), 'unusable'],
  ])('%s: %j is %s', (_name, schema, kind) => {
    expect(checkArguments(schema as JsonSchema, { a: 'x-1.y' }).kind).toBe(kind);
  });

  it('may have the same $id as another', () => {
    const id = 'https://example.com/tool';
    expect(checkArguments(object({ a: { type: 'string' } }, { $id: id }), { a: 'x' }).kind).toBe('valid');
    expect(checkArguments(object({ a: { type: 'number' } }, { $id: id }), { a: 'x' }).kind).toBe('invalid');
  });

  it('are left as they were, and compiled once', () => {
    const schema = Object.freeze(object({ a: Object.freeze({ type: 'string', default: 'x' }) }));
    const args = Object.freeze({});
    const msOfCheck = () => {
      const began = performance.now();
      expect(checkArguments(schema, args)).toEqual({ kind: 'valid' });
      return performance.now() - began;
    };
    const first = msOfCheck();
    // The quickest of them: any of them may be held up by what else the machine does.
    expect(Math.min(...Array.from({ length: 100 }, msOfCheck))).toBeLessThan(first / 2);
  });

  it('that are recursive do not overflow the stack', () => {
    const schema = { $ref: '#/$defs/n', $defs: { n: { type: 'object', properties: { n: { $ref: '#/$defs/n' } } } } };
    const deep: unknown = JSON.parse(`${'{"n":'.repeat(200_000)}{}${'}'.repeat(200_000)}`);
    expect(checkArguments(schema, deep)).toEqual({ kind: 'invalid', problem: 'arguments are nested too deeply' });
  });
});
