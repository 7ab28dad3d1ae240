// Measures the selector on public tool-retrieval data, with plain BM25 in the same run:
//   npm run bench:selector -- <data folder> [--dev] [--json]
// The folder holds metatool/, seal-tools/, mcpproxy/ and bfcl/ with the files as their projects publish them. Parameters
// were chosen on what --dev reports on; without it the rest is reported on.
import { parseArgs } from 'node:util';
import { schemaHash } from '../../src/core/schema-hash.ts';
import { type ToolDescriptor, toolName } from '../../src/core/tool.ts';
import { definitionTokens } from '../../src/selector/definition-tokens.ts';
import { ToolSelector } from '../../src/selector/tool-selector.ts';
import { UsageIndex } from '../../src/selector/usage-index.ts';
import { rememberTask, type UsageMemory } from '../../src/selector/usage-memory.ts';
import { abstentionCurve } from './abstention.ts';
import { PlainBm25 } from './plain-bm25.ts';
import { type Estimate, estimate, METRICS, measureAnswer, percentile } from './retrieval-metrics.ts';
import { measureSpeed } from './selector-speed.ts';
import {
  bfcl,
  bfclPooled,
  type DataSet,
  halfOf,
  mcpproxy,
  metaToolMulti,
  metaToolSingle,
  type Query,
  sealTools,
  shuffled,
} from './tool-retrieval-data.ts';

const { values: flags, positionals } = parseArgs({
  options: { json: { type: 'boolean' }, dev: { type: 'boolean' } },
  allowPositionals: true,
});
const [folder] = positionals;
if (folder === undefined) {
  console.error('usage: npm run bench:selector -- <data folder> [--dev] [--json]');
  process.exit(2);
}

const ANSWER = 10;
const NOW = new Date();

/** Gives the answer to a query: names of the best ten tools. */
type Search = (query: string) => Promise<readonly string[]> | readonly string[];

interface Row {
  readonly set: string;
  readonly how: string;
  readonly tools: number;
  readonly queries: number;
  readonly metrics: Readonly<Record<string, Estimate>>;
  /** About what the definitions of the first five tools cost a model. */
  readonly tokens: Estimate;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly indexMs: number;
}

interface Run {
  readonly set: DataSet;
  readonly usage: readonly (readonly [string, UsageMemory])[];
}

const half = flags.dev === true ? 'dev' : 'test';
// What is learnt from is never asked: on the dev half, one part of it is learnt and the other asked.
const single = { learn: metaToolSingle(folder, 'dev'), ask: metaToolSingle(folder, half) };
const multi = { learn: metaToolMulti(folder, 'dev'), ask: metaToolMulti(folder, half) };
const seal = { learn: sealTools(folder, 'dev'), ask: sealTools(folder, half === 'dev' ? 'dev' : 'test_in_domain') };
const runs: readonly Run[] = [
  learning(single, [10, 30]),
  learning(multi, [30]),
  learning(seal, [30]),
  ...(half === 'dev' ? [] : [mcpproxy(folder), bfclPooled(folder)].map((set) => ({ set, usage: [] }))),
];

const rows: Row[] = [];
for (const { set, usage } of runs) {
  const show = (row: Row) => {
    rows.push(row);
    if (flags.json !== true) printRow(row);
  };
  show(await measure(set, 'plain BM25', (tools) => plainSearch(tools)));
  show(await measure(set, 'ours', (tools) => ourSearch(tools)));
  for (const [name, memory] of usage) {
    show(await measure(set, `ours, ${name}`, (tools) => ourSearch(tools, memory)));
  }
}
const isReported = (choice: { readonly query: Query }) => halfOf(choice.query.text) === half;
const served = bfcl(folder, 'multiple').filter(isReported);
const unserved = bfcl(folder, 'irrelevance').filter(isReported);
const curve = await abstentionCurve(served, unserved);
const speed = await measureSpeed(sealTools(folder, half === 'dev' ? 'dev' : 'test_in_domain'));

if (flags.json === true) console.log(JSON.stringify({ rows, abstention: curve, speed }));
else {
  console.log(
    `\nAbstention: ${served.length} requests that one of 2 to 4 functions serves, ${unserved.length} that the only one does not`,
  );
  console.log('threshold  right one selected  something selected falsely  alone: selected / falsely');
  for (const point of curve) {
    const cells = [point.recall, point.falseSelection, point.aloneRecall].map((share) => percent(share).padStart(7));
    console.log(
      `${point.threshold.toFixed(2).padStart(9)}  ${cells.join('             ')}${point.isDefault ? '   the default' : ''}`,
    );
  }
  const { tools, indexMs, p50Ms, p95Ms, addServerMs, removeServerMs } = speed;
  console.log(
    `\n${tools} tools: ${p50Ms.toFixed(2)} ms a query (p95 ${p95Ms.toFixed(2)}), index ${indexMs.toFixed(0)} ms, a server of 50 tools added in ${addServerMs.toFixed(1)} ms, removed in ${removeServerMs.toFixed(1)} ms`,
  );
}

async function measure(set: DataSet, how: string, build: (tools: readonly ToolDescriptor[]) => Search): Promise<Row> {
  const { tools, queries } = set;
  const start = performance.now();
  const search = build(tools);
  const indexMs = performance.now() - start;
  const costs = new Map(tools.map((tool) => [toolName(tool), definitionTokens(tool)]));
  const times: number[] = [];
  const tokens: number[] = [];
  const measured: number[][] = [];
  for (const query of queries) {
    const asked = performance.now();
    const names = await search(query.text);
    times.push(performance.now() - asked);
    measured.push(measureAnswer(names, query));
    tokens.push(names.slice(0, 5).reduce((sum, name) => sum + (costs.get(name) ?? 0), 0));
  }
  return {
    ...{ set: set.name, how, tools: tools.length, queries: queries.length },
    metrics: Object.fromEntries(METRICS.map((name, i) => [name, estimate(measured.map((each) => each[i] ?? 0))])),
    ...{ tokens: estimate(tokens), p50Ms: percentile(times, 0.5), p95Ms: percentile(times, 0.95), indexMs },
  };
}

function plainSearch(tools: readonly ToolDescriptor[]): Search {
  const index = new PlainBm25(tools);
  return (query) => index.search(query, ANSWER).map(toolName);
}

function ourSearch(tools: readonly ToolDescriptor[], memory?: UsageMemory): Search {
  const selector = new ToolSelector(tools);
  const history = memory === undefined ? undefined : new UsageIndex(memory, tools, NOW);
  return async (query) => (await selector.search(query, { limit: ANSWER, history })).map(toolName);
}

/** A set that is asked with and without a memory of other queries. */
function learning({ learn, ask }: { readonly learn: DataSet; readonly ask: DataSet }, caps: readonly number[]): Run {
  const taught = half === 'dev' ? learn.queries.filter(isEven) : learn.queries;
  const asked = half === 'dev' ? ask.queries.filter((query) => !isEven(query)) : ask.queries;
  const usage = caps.map((cap) => [`${cap} tasks a tool`, memoryOf({ ...learn, queries: taught }, cap)] as const);
  return { set: { ...ask, queries: asked }, usage };
}

/** Up to `cap` tasks of each tool, as if runs had served them. */
function memoryOf({ tools, queries }: DataSet, cap: number): UsageMemory {
  const known = new Map(tools.map((tool) => [toolName(tool), tool]));
  const left = new Map(tools.map((tool) => [tool, cap]));
  let memory: UsageMemory = [];
  // The files hold similar queries side by side; a memory holds what came, not a block of one kind.
  for (const { text, gold } of shuffled(queries)) {
    const used = [...gold].flatMap((name) => known.get(name) ?? []).filter((tool) => (left.get(tool) ?? 0) > 0);
    for (const tool of used) left.set(tool, (left.get(tool) ?? 0) - 1);
    const tools = used.map((tool) => ({ server: tool.server, tool: tool.tool, schemaHash: schemaHash(tool) }));
    memory = rememberTask(memory, { task: text, tools, at: NOW });
  }
  return memory;
}

function isEven({ text }: Query): boolean {
  return text.length % 2 === 0;
}

function printRow({ set, how, tools, queries, metrics, tokens, p50Ms, p95Ms, indexMs }: Row): void {
  if (how === 'plain BM25') {
    console.log(`\n${set}: ${queries} queries, ${tools} tools`);
    const heads = [...METRICS, 'tokens', 'p50 ms', 'p95 ms', 'index ms'];
    console.log(''.padEnd(24) + heads.map((head) => head.padStart(11)).join(''));
  }
  const shares = METRICS.map((name) => metrics[name]).map(
    (each) => each && `${percent(each.mean)} ±${percent(each.margin)}`,
  );
  const rest = [tokens.mean.toFixed(0), p50Ms.toFixed(2), p95Ms.toFixed(2), indexMs.toFixed(0)];
  console.log(how.padEnd(24) + [...shares, ...rest].map((cell) => String(cell).padStart(11)).join(''));
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}
