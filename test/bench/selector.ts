// Measures the selector on public tool-retrieval data, with plain BM25 in the same run:
//   node test/bench/selector.ts <data folder>
// The folder holds metatool/, seal-tools/, mcpproxy/ and bfcl/ with the files as their projects publish them.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ToolDescriptor, toolName } from '../../src/core/tool.ts';
import { DEFAULT_THRESHOLD, ToolSelector } from '../../src/selector/tool-selector.ts';
import { PlainBm25 } from './plain-bm25.ts';
import {
  bfcl,
  type Choice,
  type DataSet,
  mcpproxy,
  metaToolMulti,
  metaToolSingle,
  sealTools,
} from './tool-retrieval-data.ts';

const SERVERS = join(import.meta.dirname, '../../servers');

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('usage: node test/bench/selector.ts <data folder>');
  process.exit(2);
}

const single = metaToolSingle(folder);
const seal = sealTools(folder, 'dev');
await printRecall([single, metaToolMulti(folder), seal, sealTools(folder, 'test_in_domain'), mcpproxy(folder)]);
await printChoices(bfcl(folder, 'multiple'));
await printAbstention(bfcl(folder, 'irrelevance'), [single, seal]);

/** `search`: the first five; `select`: what is left of them above the default threshold. */
async function printRecall(sets: readonly DataSet[]): Promise<void> {
  printRow('Recall@5, per cent', 'tools', 'queries', 'plain', 'search', 'ratio', 'select', 'imports', 'ms');
  for (const { name, tools, queries } of sets) {
    const selector = new ToolSelector(tools);
    const plain = new PlainBm25(tools);
    const sum = { plain: 0, search: 0, select: 0, imports: 0, ms: 0 };
    for (const { text, gold } of queries) {
      sum.plain += share(plain.search(text, 5), gold);
      const start = performance.now();
      sum.search += share(await selector.search(text, { limit: 5 }), gold);
      sum.ms += performance.now() - start;
      const { tools: selected } = await selector.select(text);
      sum.select += share(selected, gold);
      sum.imports += selected.length;
    }
    const of = (total: number, scale = 1, digits = 1) => ((scale * total) / queries.length).toFixed(digits);
    const recall = [of(sum.plain, 100), of(sum.search, 100), (sum.search / sum.plain).toFixed(2), of(sum.select, 100)];
    printRow(name, tools.length, queries.length, ...recall, of(sum.imports), of(sum.ms, 1, 2));
  }
}

async function printChoices(choices: readonly Choice[]): Promise<void> {
  const right = await count(choices, async ({ tools, query }) => {
    const [first] = (await new ToolSelector(tools).select(query.text)).tools;
    return first !== undefined && query.gold.has(toolName(first));
  });
  console.log(`\nBFCL multiple: the right function of 2 to 4 is selected first in ${percent(right, choices.length)}`);
}

/** How often nothing is selected, at the default threshold, for requests that the tools cannot serve. */
async function printAbstention(irrelevant: readonly Choice[], foreign: readonly DataSet[]): Promise<void> {
  console.log(`\nAbstention at the default threshold of ${DEFAULT_THRESHOLD}`);
  const abstains = async (selector: ToolSelector, text: string) => (await selector.select(text)).noMatch !== null;
  const own = await count(irrelevant, ({ tools, query }) => abstains(new ToolSelector(tools), query.text));
  console.log(`  BFCL irrelevance, against its own functions: ${percent(own, irrelevant.length)}`);
  const shipped = shippedTools();
  const selector = new ToolSelector(shipped);
  const texts = irrelevant.map(({ query }) => query.text);
  const sets = [{ name: 'BFCL irrelevance', queries: texts.map((text) => ({ text })) }, ...foreign];
  for (const { name, queries } of sets) {
    const silent = await count(queries, ({ text }) => abstains(selector, text));
    console.log(`  ${name}, against the ${shipped.length} tools under servers/: ${percent(silent, queries.length)}`);
  }
}

function shippedTools(): ToolDescriptor[] {
  return globSync('*/manifest.json', { cwd: SERVERS }).flatMap((file) => {
    const { tools, ...server } = JSON.parse(readFileSync(join(SERVERS, file), 'utf8'));
    return tools.map((tool: object) => ({ kind: server.kind, server: server.server, ...tool }));
  });
}

async function count<T>(items: readonly T[], holds: (item: T) => Promise<boolean>): Promise<number> {
  let total = 0;
  for (const item of items) if (await holds(item)) total += 1;
  return total;
}

function share(
  found: readonly { readonly server: string; readonly tool: string }[],
  gold: ReadonlySet<string>,
): number {
  return found.filter((tool) => gold.has(toolName(tool))).length / gold.size;
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)} % of ${whole}`;
}

function printRow(name: string, ...cells: readonly (string | number)[]): void {
  console.log(name.padEnd(26) + cells.map((cell) => String(cell).padStart(9)).join(''));
}
