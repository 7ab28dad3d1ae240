import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { evaluateExpression } from '../../../servers/calculator/lib/expression.ts';
import { Random } from '../random.ts';

const RUNTIME = Symbol.for('workcell.runtime');
const guest = globalThis as { [key: symbol]: unknown };

class ToolError extends Error {
  constructor(init: {
    readonly server: string;
    readonly tool: string;
    readonly code: string;
    readonly message: string;
  }) {
    super(init.message);
    Object.assign(this, init, { name: 'ToolError' });
  }
}

beforeAll(() => {
  guest[RUNTIME] = { ToolError, callTool: async (...call: unknown[]) => call };
});

afterAll(() => {
  delete guest[RUNTIME];
});

const calculator = () => import('../../../servers/calculator/index.ts');

describe('the four operations', () => {
  test('give their result', async () => {
    const { add, divide, multiply, subtract } = await calculator();
    expect(await add({ a: 5, b: 3 })).toBe(8);
    expect(await subtract({ a: 10, b: 3 })).toBe(7);
    expect(await multiply({ a: -6, b: 7 })).toBe(-42);
    expect(await divide({ a: 10, b: 4 })).toBe(2.5);
  });

  test('refuse to divide by zero', async () => {
    const { divide } = await calculator();
    const error = { name: 'ToolError', server: 'calculator', tool: 'divide', code: 'division_by_zero' };
    await expect(divide({ a: 1, b: 0 })).rejects.toMatchObject(error);
    await expect(divide({ a: 1, b: -0 })).rejects.toMatchObject(error);
  });

  test.each(['1', Number.NaN, Number.POSITIVE_INFINITY, null, undefined, {}])(
    'refuse %s as a number',
    async (value) => {
      const { add, divide, multiply, subtract } = await calculator();
      for (const operation of [add, divide, multiply, subtract]) {
        const error = { code: 'invalid_arguments', details: { parameter: 'b' } };
        await expect(operation({ a: 1, b: value as number })).rejects.toMatchObject(error);
      }
    },
  );

  test('refuse a result that is too large to be a number', async () => {
    const { add, multiply } = await calculator();
    expect(await add({ a: Number.MAX_VALUE, b: 0 })).toBe(Number.MAX_VALUE);
    await expect(add({ a: Number.MAX_VALUE, b: Number.MAX_VALUE })).rejects.toMatchObject({ code: 'out_of_range' });
    await expect(multiply({ a: 1e308, b: 10 })).rejects.toMatchObject({ code: 'out_of_range' });
  });
});

describe('evaluate', () => {
  test.each([
    ['5 + 3', 8],
    ['12 * (3 + 4)', 84],
    ['-2^2', -4],
    ['(-2)**2', 4],
    ['2^3^2', 512],
    ['2**-1', 0.5],
    ['7 % 3 - -1', 2],
    ['-7 % 3', -1],
    ['.5 + 5. + 1.5e2', 155.5],
    ['3 × 4 ÷ 2 − 1', 5],
    ['sqrt(16) + max(1, 2, 3) - min(4)', 3],
    ['round(2.5) + floor(-1.5) + ceil(1.2) + abs(-3)', 6],
    ['log(E) + log10(1000) + cos(0) + pow(2, 3)', 13],
    ['sin(PI / 2)', 1],
    [`1${'+1'.repeat(20_000)}`, 20_001],
  ])('gives the value of %s', async (expression, value) => {
    const { evaluate } = await calculator();
    expect(await evaluate({ expression })).toBeCloseTo(value, 12);
  });

  test.each([
    ['', 1, 'Expected a number, found the end'],
    ['   ', 4, 'Expected a number, found the end'],
    ['2 $ 3', 3, '"$" is not part of arithmetic'],
    ['1 2', 3, 'Expected an operator, found "2"'],
    ['(1', 3, 'Expected ")" or an operator, found the end'],
    ['1)', 2, 'Expected an operator, found ")"'],
    ['2 * * 3', 5, 'Expected a number, found "*"'],
    ['foo(1)', 1, '"foo" is not known'],
    ['__proto__', 1, '"__proto__" is not known'],
    ['sqrt 4', 6, 'Expected "(" after "sqrt", found "4"'],
    ['pow(2)', 1, '"pow" takes 2 values, not 1'],
    ['sqrt(1, 2)', 1, '"sqrt" takes one value, not 2'],
    ['1.2.3', 4, 'Expected an operator, found ".3"'],
  ])('says where %j cannot be read', async (expression, position, message) => {
    const { evaluate } = await calculator();
    await expect(evaluate({ expression })).rejects.toMatchObject({
      code: 'invalid_arguments',
      message: `${message} at position ${position}`,
      details: { position },
    });
  });

  test.each(['1 / 0', '5 % 0', '1 / (2 - 2)', '0 ^ -1'])('refuses the division by zero in %s', async (expression) => {
    const { evaluate } = await calculator();
    await expect(evaluate({ expression })).rejects.toMatchObject({ code: 'division_by_zero' });
  });

  test('refuses what has no real or no finite value', async () => {
    const { evaluate } = await calculator();
    await expect(evaluate({ expression: 'sqrt(-1)' })).rejects.toMatchObject({ code: 'out_of_range' });
    await expect(evaluate({ expression: '10^400' })).rejects.toMatchObject({ code: 'out_of_range' });
    await expect(evaluate({ expression: 5 as unknown as string })).rejects.toMatchObject({ code: 'invalid_arguments' });
  });

  test('reads 100 levels of nesting and no more', () => {
    const nested = (levels: number) => '('.repeat(levels - 1) + 1 + ')'.repeat(levels - 1);
    expect(evaluateExpression(nested(99))).toBe(1);
    expect(evaluateExpression(nested(100))).toBe(1);
    expect(() => evaluateExpression(nested(101))).toThrow('nested more than 100 levels deep');
    expect(() => evaluateExpression(`${'-'.repeat(100_000)}1`)).toThrow('nested more than 100 levels deep');
  });

  test('agrees with JavaScript on random expressions', () => {
    const random = new Random(7);
    for (let round = 0; round < 2_000; round += 1) {
      const expression = randomExpression(random, 5);
      const expected = runInNewContext(expression.replaceAll('^', '**'), MATH);
      expect({ expression, value: evaluateExpression(expression) }).toEqual({ expression, value: expected });
    }
  });
});

const MATH = { sqrt: Math.sqrt, abs: Math.abs, min: Math.min, max: Math.max, floor: Math.floor, pi: Math.PI };

/** Every divisor is 1 or more, and no sign stands before a power, which JavaScript would refuse. */
function randomExpression(random: Random, depth: number): string {
  const inner = () => randomExpression(random, depth - 1);
  const space = random.pick(['', ' ', '  ']);
  if (depth === 0) return random.pick([`${random.integer(0, 99)}`, `${random.integer(1, 999) / 8}`, '1e2', '.5', 'pi']);
  switch (random.integer(0, 6)) {
    case 0:
      return `${inner()}${space}${random.pick(['+', '-', '*'])} ${inner()}`;
    case 1:
      return `${inner()}${space}${random.pick(['/', '%'])}${space}(1 + abs(${inner()}))`;
    case 2:
      return `(${inner()})${space}${random.pick(['^', '**'])}${space}${random.integer(0, 3)}`;
    case 3:
      return `2 ^ ${random.integer(0, 2)}${space}^ ${random.integer(0, 3)}`;
    case 4:
      return `${random.pick(['-', '+'])}${space}(${inner()})`;
    case 5:
      return `${random.pick(['min', 'max'])}(${inner()},${space}${inner()})`;
    default:
      return `${random.pick(['abs', 'floor'])}(${inner()})`;
  }
}

test('the manifest lists exactly the exported functions', async () => {
  const manifest = JSON.parse(
    readFileSync(new URL('../../../servers/calculator/manifest.json', import.meta.url), 'utf8'),
  );
  expect(manifest).toMatchObject({ server: 'calculator', kind: 'module', description: expect.any(String) });
  const tools: { tool: string; identifier: string; inputSchema: object; outputSchema: object }[] = manifest.tools;
  expect(tools.map(({ identifier }) => identifier).sort()).toEqual(Object.keys(await calculator()).sort());
  for (const tool of tools) {
    expect(tool).toMatchObject({
      tool: tool.identifier,
      inputSchema: { type: 'object' },
      outputSchema: { type: 'number' },
    });
  }
});

describe('the runtime of the tools', () => {
  test('passes a call to the host', async () => {
    const { callTool } = await import('../../../servers/runtime.ts');
    const options = { signal: new AbortController().signal };
    expect(await callTool('memory', 'read_graph', {}, options)).toEqual(['memory', 'read_graph', {}, options]);
  });

  test('says outside of a run that tools can be called only inside', async () => {
    vi.resetModules();
    delete guest[RUNTIME];
    await expect(import('../../../servers/runtime.ts')).rejects.toThrow('only by a program that Workcell runs');
    guest[RUNTIME] = { ToolError };
  });
});
