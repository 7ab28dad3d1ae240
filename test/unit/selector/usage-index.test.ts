import { expect, test } from 'vitest';
import { schemaHash } from '../../../src/core/schema-hash.ts';
import type { ToolDescriptor } from '../../../src/core/tool.ts';
import { ToolSelector } from '../../../src/selector/tool-selector.ts';
import { UsageIndex } from '../../../src/selector/usage-index.ts';
import { rememberTask, type UsageMemory } from '../../../src/selector/usage-memory.ts';

const NOW = new Date('2026-01-01T00:00:00.000Z');
const YEARS_AGO = new Date('2025-02-01T00:00:00.000Z');

function tool(name: string, description: string): ToolDescriptor {
  return { kind: 'upstream', server: 'jobs', tool: name, identifier: name, description, inputSchema: {} };
}

const tools = [
  tool('k9', 'Runs pipeline k9'),
  tool('k7', 'Runs pipeline k7'),
  tool('send_mail', 'Send an email'),
  tool('read_graph', 'Read the knowledge graph'),
];
const [k9 = tool('', '')] = tools;

function remembered(texts: readonly string[], of = k9, at = NOW): UsageMemory {
  const used = { server: of.server, tool: of.tool, schemaHash: schemaHash(of) };
  return texts.reduce<UsageMemory>((memory, task) => rememberTask(memory, { task, tools: [used], at }), []);
}

const TEXTS = ['Refresh the sales dashboard', 'The dashboard of sales is stale', 'Bring the dashboard up to date'];

test('finds the tool that has served similar tasks, and says why', async () => {
  const [hit, ...rest] = await new UsageIndex(remembered(TEXTS), tools, NOW).rank('refresh my dashboard', 10);
  expect(rest).toEqual([]);
  expect(hit).toMatchObject({ tool: k9, reasons: ['used for 3 similar tasks: refresh, dashboard'] });
});

test('relies on a tool the more, the more tasks it has served, and the less, the older they are', async () => {
  const score = async (memory: UsageMemory) =>
    (await new UsageIndex(memory, tools, NOW).rank('refresh the sales dashboard', 1))[0]?.score ?? 0;
  const [one, three, old] = [
    await score(remembered(TEXTS.slice(0, 1))),
    await score(remembered(TEXTS)),
    await score(remembered(TEXTS, k9, YEARS_AGO)),
  ];
  expect(one).toBeGreaterThan(0);
  expect(three).toBeGreaterThan(one);
  expect(old).toBeLessThan(three);
});

test('remembers nothing of a tool that has changed or is gone', async () => {
  const changed = tools.map((each) => (each === k9 ? { ...k9, description: 'Runs something else' } : each));
  expect(await new UsageIndex(remembered(TEXTS), changed, NOW).rank('dashboard', 10)).toEqual([]);
  expect(await new UsageIndex(remembered(TEXTS), tools.slice(1), NOW).rank('dashboard', 10)).toEqual([]);
});

test('a selector finds by it what no description says, and nothing without it', async () => {
  const selector = new ToolSelector(tools);
  const task = 'Is the sales dashboard stale? Refresh it';
  const history = new UsageIndex(
    remembered([...TEXTS, 'Refresh what is stale in sales', 'Sales: refresh']),
    tools,
    NOW,
  );
  expect((await selector.select(task)).tools).toEqual([]);
  expect((await selector.select(task, { history })).tools).toMatchObject([{ tool: 'k9' }]);
});

test('a selector adds what was used to what is described, and gives both reasons', async () => {
  const selector = new ToolSelector(tools);
  const history = new UsageIndex(remembered(['Send the report by email'], tools[2]), tools, NOW);
  const [plain] = await selector.search('send an email');
  const [hit] = await selector.search('send an email', { history });
  expect(hit?.score).toBeGreaterThanOrEqual(plain?.score ?? 1);
  expect(hit?.reasons).toEqual([...(plain?.reasons ?? []), 'used for 1 similar task: send, email']);
});
