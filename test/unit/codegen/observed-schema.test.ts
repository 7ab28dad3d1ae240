import { describe, expect, test } from 'vitest';
import { joinObserved, type ObservedSchema, observe } from '../../../src/codegen/observed-schema.ts';
import { Random } from '../random.ts';

const all = () => true;
const seen = (...values: unknown[]): ObservedSchema =>
  values.map((value) => observe(value, all)).reduce(joinObserved, {});

describe('observe()', () => {
  test.each<[unknown, ObservedSchema]>([
    ['text', { type: ['string'] }],
    [3, { type: ['integer'] }],
    [0.5, { type: ['number'] }],
    [null, { type: ['null'] }],
    [[], { type: ['array'], items: {} }],
    [[1, 'a', null], { type: ['array'], items: { type: ['integer', 'null', 'string'] } }],
    [{}, { type: ['object'], properties: {}, required: [], additionalProperties: {} }],
    [
      { b: 1, a: true },
      {
        type: ['object'],
        properties: { a: { type: ['boolean'] }, b: { type: ['integer'] } },
        required: ['a', 'b'],
        additionalProperties: {},
      },
    ],
  ])('of %j keeps the structure', (value, schema) => {
    expect(observe(value, all)).toEqual(schema);
    expect(JSON.stringify(observe(value, all))).toBe(JSON.stringify(schema));
  });

  test('keeps of names only the public ones, and what the others have in common', () => {
    const schema = observe({ id: 1, 'ann@example.com': 'x', secret: 'y' }, (name) => name === 'id');
    expect(schema).toEqual({
      type: ['object'],
      properties: { id: { type: ['integer'] } },
      required: ['id'],
      additionalProperties: { type: ['string'] },
    });
  });

  test('lists 60 names of an object, and takes more for data', () => {
    const named = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${100 + i}`, i]));
    const names = (value: unknown) => Object.keys(observe(value, all).properties ?? {});
    expect(names(named(60))).toHaveLength(60);
    expect(names(named(61))).toHaveLength(60);
    expect(observe(named(60), all).additionalProperties).toEqual({});
    expect(observe(named(61), all).additionalProperties).toEqual({ type: ['integer'] });
  });

  test('goes 8 levels deep', () => {
    const nested = (depth: number): unknown => (depth === 0 ? 'x' : [nested(depth - 1)]);
    expect(JSON.stringify(observe(nested(8), all))).toContain('string');
    expect(JSON.stringify(observe(nested(9), all))).not.toContain('string');
  });

  test('stays small, whatever it sees', () => {
    const wide = Array.from({ length: 5_000 }, (_, i) => ({ [`k${i}`]: { [`x${i}`]: [i] } }));
    expect(JSON.stringify(observe([wide, wide], all)).length).toBeLessThan(32 * 1024);
  });
});

describe('joinObserved()', () => {
  test('holds for both', () => {
    expect(seen(1, 2.5)).toEqual({ type: ['number'] });
    expect(seen('a', [1], { a: 1 })).toMatchObject({ type: ['array', 'object', 'string'] });
    expect(seen({ a: 1, b: 1 }, { a: 'x' })).toMatchObject({
      properties: { a: { type: ['integer', 'string'] }, b: { type: ['integer'] } },
      required: ['a'],
    });
    expect(seen([], [1])).toEqual(seen([1]));
  });

  test('gives the same in whatever order and number the results come', () => {
    const random = new Random(5);
    for (let round = 0; round < 200; round += 1) {
      const values = Array.from({ length: 4 }, () => randomValue(random, 3));
      const schema = seen(...values);
      expect(JSON.stringify(seen(...values.toReversed()))).toBe(JSON.stringify(schema));
      expect(JSON.stringify(seen(...values, ...values))).toBe(JSON.stringify(schema));
      for (const value of values)
        expect(JSON.stringify(joinObserved(schema, observe(value, all)))).toBe(JSON.stringify(schema));
    }
  });
});

function randomValue(random: Random, depth: number): unknown {
  const kind = random.integer(0, depth === 0 ? 4 : 6);
  const inner = () => randomValue(random, depth - 1);
  if (kind === 5) return Array.from({ length: random.integer(0, 3) }, inner);
  if (kind === 6)
    return Object.fromEntries(
      Array.from({ length: random.integer(0, 3) }, () => [random.pick(['a', 'b', 'c']), inner()]),
    );
  return [null, true, 'x', 1, 1.5][kind];
}
