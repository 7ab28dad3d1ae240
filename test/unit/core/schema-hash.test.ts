import { expect, it } from 'vitest';
import { schemaHash } from '../../../src/core/schema-hash.ts';

const tool = { tool: 't', description: 'd', inputSchema: { type: 'object', properties: { a: { type: 'string' } } } };

it('a hash does not depend on the order of keys, at any depth', () => {
  const inputSchema = { properties: { a: { type: 'string' } }, type: 'object' };
  expect(schemaHash({ description: 'd', inputSchema, tool: 't' })).toBe(schemaHash(tool));
  expect(schemaHash(tool)).toMatch(/^[0-9a-f]{64}$/);
});

it.each([
  ['the name', { tool: 'u' }],
  ['the description', { description: 'e' }],
  ['the input schema', { inputSchema: { type: 'object', properties: { a: { type: 'number' } } } }],
  ['an output schema', { outputSchema: { type: 'object' } }],
])('a hash depends on %s', (_what, change) => {
  expect(schemaHash({ ...tool, ...change })).not.toBe(schemaHash(tool));
});

it('a hash depends on the order in a list', () => {
  const withRequired = (required: string[]) => schemaHash({ ...tool, inputSchema: { required } });
  expect(withRequired(['a', 'b'])).not.toBe(withRequired(['b', 'a']));
});
