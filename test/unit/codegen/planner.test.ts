import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { planCall } from '../../../src/codegen/planner.ts';
import type { ToolDescriptor } from '../../../src/core/tool.ts';
import { Random } from '../random.ts';

const manifest: { tools: (Omit<ToolDescriptor, 'kind' | 'server'> & { identifier: string })[] } = JSON.parse(
  readFileSync(new URL('../../../servers/calculator/manifest.json', import.meta.url), 'utf8'),
);

function calculator(identifier: string): ToolDescriptor {
  const found = manifest.tools.find((entry) => entry.identifier === identifier);
  if (found === undefined) throw new Error(`no tool ${identifier}`);
  return { kind: 'module', server: 'calculator', ...found };
}

/** A tool whose parameters are all required but those that end in `?`. */
function tool(identifier: string, parameters: Readonly<Record<string, object>>): ToolDescriptor {
  const entries = Object.entries(parameters);
  const inputSchema = {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, schema]) => [name.replace('?', ''), schema])),
    required: entries.map(([name]) => name).filter((name) => !name.endsWith('?')),
  };
  return { kind: 'upstream', server: 'test', tool: identifier, identifier, description: '', inputSchema };
}

const text = { type: 'string' };
const number = { type: 'number' };

const searchNodes = tool('searchNodes', { query: text, 'limit?': { type: 'integer' } });
const openNodes = tool('openNodes', { names: { type: 'array', items: text } });
const average = tool('average', { values: { type: 'array', items: number } });
const writeFile = tool('writeFile', { path: text, content: text });
const moveFile = tool('moveFile', { source: text, destination: text });
const listFolder = tool('listFolder', { path: text, 'sortBy?': { enum: ['name', 'size'] } });
const weather = tool('weather', { city: { type: 'string', enum: ['New York', 'Chicago'] } });
const toggle = tool('toggle', { on: { type: 'boolean' } });
const readGraph = tool('readGraph', {});
const resize = tool('resize', { width: { type: 'integer' }, height: { type: 'integer' } });

describe('planCall() fills a call from', () => {
  test.each<[string, ToolDescriptor, string]>([
    ['Calculate 5 + 3', calculator('evaluate'), 'evaluate({ expression: "5 + 3" })'],
    ['What is 12 * (3 + 4)?', calculator('evaluate'), 'evaluate({ expression: "12 * (3 + 4)" })'],
    ['Calculate sqrt(16) + 2^3.', calculator('evaluate'), 'evaluate({ expression: "sqrt(16) + 2^3" })'],
    ['What is -5 + 1,000?', calculator('evaluate'), 'evaluate({ expression: "-5 + 1000" })'],
    ['Evaluate "1+1"', calculator('evaluate'), 'evaluate({ expression: "1+1" })'],
    ['Add 5 and 3', calculator('add'), 'add({ a: 5, b: 3 })'],
    ['Divide 10 by 4', calculator('divide'), 'divide({ a: 10, b: 4 })'],
    ['multiply 6 by 7', calculator('multiply'), 'multiply({ a: 6, b: 7 })'],
    ['Subtract 3 from 10', calculator('subtract'), 'subtract({ a: 10, b: 3 })'],
    ['10 minus 4', calculator('subtract'), 'subtract({ a: 10, b: 4 })'],
    ['Add 1,234.5 and -2.', calculator('add'), 'add({ a: 1234.5, b: -2 })'],
    ['add b=5, a: 007', calculator('add'), 'add({ a: 7, b: 5 })'],
    ['Search for nodes about "Alice"', searchNodes, 'searchNodes({ query: "Alice" })'],
    ['Search for \'it is "5"\', limit 10', searchNodes, 'searchNodes({ query: "it is \\"5\\"", limit: 10 })'],
    ["Search Bob's nodes for `x`", searchNodes, 'searchNodes({ query: "x" })'],
    ['Open "a" and “b”', openNodes, 'openNodes({ names: ["a", "b"] })'],
    ['The average of 1, 2 and 3.5', average, 'average({ values: [1, 2, 3.5] })'],
    ['Write "hello" to /tmp/notes.txt.', writeFile, 'writeFile({ path: "/tmp/notes.txt", content: "hello" })'],
    ['move "/a" to ./b/c', moveFile, 'moveFile({ source: "/a", destination: "./b/c" })'],
    ['List /tmp sorted by size', listFolder, 'listFolder({ path: "/tmp" })'],
    ['List /tmp, sort by size', listFolder, 'listFolder({ path: "/tmp", sortBy: "size" })'],
    ['Weather in new york', weather, 'weather({ city: "New York" })'],
    ['Weather in "Chicago"', weather, 'weather({ city: "Chicago" })'],
    ['Set it to true', toggle, 'toggle({ on: true })'],
    ['Read the graph', readGraph, 'readGraph()'],
    ['resize to height 20 and width 30', resize, 'resize({ width: 30, height: 20 })'],
    ['use base64 on 640 and 480', resize, 'resize({ width: 640, height: 480 })'],
  ])('%s', (task, descriptor, call) => {
    expect(planCall(task, descriptor)).toEqual({ ok: true, body: `return await ${call};` });
  });
});

describe('planCall() does not guess at', () => {
  test.each<[string, ToolDescriptor, readonly string[], string]>([
    [
      'Add 5',
      calculator('add'),
      ['a', 'b'],
      'it gives 5, and "a" (a number) and "b" (a number) would have to be certain',
    ],
    ['Add 1, 2 and 3', calculator('add'), ['a', 'b'], 'it gives 1, 2, 3'],
    ['Add 5 + 3', calculator('add'), ['a', 'b'], 'it gives 5 + 3'],
    ['Add 5km and 3', calculator('add'), ['a', 'b'], 'it gives 3, 5km'],
    ['Divide 4 into 12', calculator('divide'), ['a', 'b'], 'it gives 4, 12'],
    ['Add 5 and 3 on 2024-11-05', calculator('add'), [], 'it is not certain where 2024-11-05 belongs'],
    ['Add 5 and 3 at 10:30', calculator('add'), [], 'it is not certain where 10:30 belongs'],
    ['Add 5 and 12345678901234567890', calculator('add'), ['b'], 'it gives 12345678901234567890'],
    ['Calculate 5 + 3 and 4', calculator('evaluate'), [], 'it is not certain where 4 belongs'],
    ['What is 20% of 50?', calculator('evaluate'), ['expression'], '"expression" (an arithmetic expression)'],
    ['Solve 3x^2 - 2x = 5', calculator('evaluate'), ['expression'], '"expression" (an arithmetic expression)'],
    ['Search for nodes', searchNodes, ['query'], 'it does not give "query" (a text in quotes)'],
    ['Search for "a" and "b"', searchNodes, ['query'], 'it gives a, b'],
    ['Search for "a" 10', searchNodes, [], 'it is not certain where 10 belongs'],
    ['Search for "a", limit 2.5', searchNodes, [], 'it is not certain where 2.5 belongs'],
    ['Write "hello" to "notes.txt"', writeFile, ['path', 'content'], 'it gives hello, notes.txt'],
    ['Weather in Paris', weather, ['city'], '"city" (one of "New York", "Chicago")'],
    ['Weather in New York or Chicago', weather, ['city'], '"city" (one of "New York", "Chicago")'],
    ['Create it', tool('create', { entity: { type: 'object' } }), ['entity'], '"entity" (a structured value)'],
    ['Read "it"', readGraph, [], 'it is not certain where it belongs'],
    ['Add 5 and 3'.padEnd(4_001), calculator('add'), [], 'it is too long'],
  ])('%s', (task, descriptor, missing, message) => {
    const plan = planCall(task, descriptor);
    if (plan.ok) throw new Error(`It plans ${plan.body}`);
    expect(plan.missing.map(({ name }) => name)).toEqual(missing);
    expect(plan.message).toContain(
      `Cannot fill a call of "${descriptor.server}.${descriptor.tool}" from the task alone: `,
    );
    expect(plan.message).toContain(message);
  });
});

test('planCall() reads tasks of up to 4,000 characters', () => {
  const task = (length: number) => 'Add 5 and 3'.padEnd(length);
  expect(planCall(task(3_999), calculator('add')).ok).toBe(true);
  expect(planCall(task(4_000), calculator('add')).ok).toBe(true);
  expect(planCall(task(4_001), calculator('add')).ok).toBe(false);
});

test('planCall() quotes parameter names and values as code', () => {
  const plan = planCall('Say "\\"+process.exit()+\\"\u2028"', tool('say', { 'a-b': text }));
  expect(plan.ok).toBe(false);
  expect(planCall('Say `"; process.exit(); "`', tool('say', { __proto__x: text }))).toEqual({
    ok: true,
    body: 'return await say({ __proto__x: "\\"; process.exit(); \\"" });',
  });
  expect(planCall('Say `x`', tool('say', { 'a-b': text }))).toEqual({
    ok: true,
    body: 'return await say({ ["a-b"]: "x" });',
  });
  expect(planCall('Say `x`', tool('say', { ['__proto__']: text }))).toEqual({
    ok: true,
    body: 'return await say({ ["__proto__"]: "x" });',
  });
});

test('the numbers of a plan are exactly those of its task', () => {
  const random = new Random(3);
  const tools = [
    calculator('add'),
    calculator('subtract'),
    calculator('evaluate'),
    average,
    resize,
    searchNodes,
    writeFile,
  ];
  let planned = 0;
  for (let round = 0; round < 5_000; round += 1) {
    const task = Array.from({ length: random.integer(1, 8) }, () => randomWord(random)).join(' ');
    for (const descriptor of tools) {
      const plan = planCall(task, descriptor);
      if (!plan.ok) continue;
      planned += 1;
      expect({ task, numbers: digitsOf(plan.body) }).toEqual({ task, numbers: digitsOf(task) });
    }
  }
  expect(planned).toBeGreaterThan(2_000);
});

/** The groups of digits, without thousands separators and leading zeros, whatever their order. */
function digitsOf(code: string): string[] {
  return (code.replace(/(?<=\d),(?=\d{3}(?!\d))/g, '').match(/\d+/g) ?? [])
    .map((digits) => digits.replace(/^0+(?=\d)/, ''))
    .sort();
}

function randomWord(random: Random): string {
  const digits = `${random.integer(0, 2_000)}`;
  return random.pick([
    ...(['Add', 'from', 'by', 'and', 'limit', 'width', 'the', 'a =', 'b:', '"', '(', ')', ','] as const),
    ...([
      digits,
      digits,
      digits,
      digits,
      `-${digits}`,
      `${digits}.5`,
      `${digits},`,
      `${digits}?`,
      '1,234',
      '007',
    ] as const),
    ...([
      '+',
      '*',
      '-',
      '/',
      `${digits}%`,
      `${digits}km`,
      '2024-11-05',
      '10:30',
      '1.2.3',
      'v',
      `/tmp/${digits}`,
    ] as const),
    ...([
      `"${digits}"`,
      `"${digits} x"`,
      `sqrt(${digits})`,
      `(${digits} + 1)`,
      `$${digits}`,
      `${digits}-${digits}`,
    ] as const),
  ]);
}
