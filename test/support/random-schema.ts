import type { ListedTool } from '../../src/catalog/write-server.ts';
import type { JsonSchema } from '../../src/core/tool.ts';
import type { Random } from '../unit/random.ts';
/** Names and texts with which generated code breaks. */
export const NASTY: [string, ...string[]] = [
  ...([
    'a',
    'a-b',
    '1',
    'class',
    'constructor',
    '__proto__',
    'new',
    'readonly',
    'get',
    '',
    ' ',
    "it's",
    '"',
    '`',
  ] as const),
  ...([
    '*/',
    '"""',
    '\\"""',
    'ends in "',
    '\0',
    '\ud800',
    '#: type: ignore',
    'None',
    '_input',
    '_x',
    '__x',
    'type',
    'a b',
    `\${x}`,
    '{x}',
    '%s',
    'Any',
    '\r',
    '\n',
    '\u2028',
    '\u202e',
    '// @ts-nocheck',
    `\${x}`,
    '\\',
    '日本',
    '😀',
    'x: never }; }',
    '[key: string]',
  ] as const),
];

/** Tools whose names, descriptions and schemas hold everything that can go wrong; each name once. */
export function randomTools(random: Random, count: number): ListedTool[] {
  const names = Array.from({ length: count }, (_, index) => `${random.pick(NASTY)}${index % 7 === 0 ? '' : index}`);
  return [...new Set(names)]
    .filter((tool) => tool !== '')
    .map((tool) => ({
      tool,
      description: `${random.pick(NASTY)} ${random.pick(NASTY)}`,
      inputSchema: { ...randomSchema(random, 4), $defs: randomDefinitions(random) },
      outputSchema: { ...randomSchema(random, 3), $defs: randomDefinitions(random) },
    }));
}

function randomDefinitions(random: Random): { [name: string]: JsonSchema } {
  return { a: randomSchema(random, 2), 'b/c': randomSchema(random, 2), Promise: randomSchema(random, 2) };
}

/** Every keyword in every form, right and wrong. */
function randomSchema(random: Random, depth: number): { [keyword: string]: unknown } {
  const schema: { [keyword: string]: unknown } = {};
  const inner = () =>
    depth === 0 ? random.pick<unknown>([true, false, {}, null, 'x', 3]) : randomSchema(random, depth - 1);
  const list = () => Array.from({ length: random.integer(0, 3) }, inner);
  const named = () =>
    Object.fromEntries(Array.from({ length: random.integer(0, 4) }, () => [random.pick(NASTY), inner()]));
  const types: [string, ...string[]] = [
    'string',
    'number',
    'integer',
    'boolean',
    'null',
    'array',
    'object',
    'float',
    '',
  ];
  const references: [string, ...string[]] = [
    '#',
    '#/$defs/a',
    '#/$defs/b~1c',
    '#/$defs/Promise',
    '#/allOf/0',
    '#/none',
    '%',
    '',
  ];
  const keywords: { [keyword: string]: () => unknown } = {
    type: () =>
      random.pick<unknown>([random.pick(types), random.pick(types), [random.pick(types), random.pick(types)], 3, []]),
    properties: () => random.pick<unknown>([named(), named(), named(), [], 'x']),
    required: () => random.pick<unknown>([[random.pick(NASTY), random.pick(NASTY), 3], 'a', true]),
    additionalProperties: inner,
    patternProperties: named,
    items: () => random.pick<unknown>([inner(), list()]),
    prefixItems: list,
    additionalItems: inner,
    minItems: () => random.pick<unknown>([0, 1, 2, -1, 1.5, 'x']),
    enum: () =>
      random.pick<unknown>([[random.pick(NASTY), 1, -0.5, null, {}], [random.pick(NASTY)], [1e21, 5e-324], [], 'x']),
    const: () => random.pick<unknown>([random.pick(NASTY), Number.POSITIVE_INFINITY, [], -7]),
    anyOf: list,
    oneOf: list,
    allOf: list,
    $ref: () => random.pick<unknown>([random.pick(references), random.pick(references), 7]),
    nullable: () => random.pick([true, false]),
    description: () => random.pick<unknown>([random.pick(NASTY), 5]),
    default: () => random.pick<unknown>([random.pick(NASTY), {}, null]),
  };
  for (const [keyword, value] of Object.entries(keywords)) if (random.next() < 0.15) schema[keyword] = value();
  return schema;
}
