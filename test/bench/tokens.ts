// What a model must read to find and use tools: all definitions in its context, against a search and the chosen few.
//   node test/bench/tokens.ts [<data folder>]
// Starts the official MCP servers; with the data folder (see selector.ts) 1,000 tools of Seal-Tools are measured, too.
// Tokens are those of o200k_base.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { type ToolDescriptor, toolName } from '../../src/core/tool.ts';
import { createMcpServer } from '../../src/mcp/server.ts';
import { ToolSelector } from '../../src/selector/tool-selector.ts';
import { searchTools, type ToolSearchOptions, type ToolSearchResult } from '../../src/workcell/search-tools.ts';
import { createWorkcell, type Workcell } from '../../src/workcell/workcell.ts';
import { writeConfig } from '../support/cell-config.ts';
import { officialServers } from '../support/mcp-servers.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { type Query, sealTools } from './tool-retrieval-data.ts';

/** Anthropic's figure for its example, 150,000 tokens that become 2,000. */
const AIM = 0.987;
const POOL = 1_000;
const LIMIT = 5;

/** Seal-Tools names types as Python does, which no MCP server would. */
const JSON_TYPES = new Map([
  ['str', 'string'],
  ['int', 'integer'],
  ['float', 'number'],
  ['bool', 'boolean'],
  ['list', 'array'],
  ['dict', 'object'],
]);

interface Requests {
  readonly tools: readonly ToolDescriptor[];
  readonly queries: readonly Query[];
}

const { tools: officialTools, ownTokens } = await startOfficialServers();
const official = { tools: officialTools, queries: officialQueries() };
await report('Official servers', official);
const [data] = process.argv.slice(2);
if (data !== undefined) {
  const seal = pool(sealTools(data, 'dev'));
  await report('Seal-Tools', seal);
  await report('Official servers among Seal-Tools', { ...official, tools: [...official.tools, ...seal.tools] });
}

async function startOfficialServers(): Promise<{ tools: readonly ToolDescriptor[]; ownTokens: number }> {
  await using folder = await tempFolder();
  const mcpServers = officialServers(folder.path);
  await using cell = await createWorkcell({ config: await writeConfig(folder.path, { mcpServers }) });
  const tools = cell.listTools().filter(({ kind }) => kind === 'upstream');
  return { tools, ownTokens: await tokensOfOwnTools(cell) };
}

/** What an agent reads of `workcell mcp` itself, before any task: its instructions, and the tools to search and execute. */
async function tokensOfOwnTools(cell: Workcell): Promise<number> {
  const server = createMcpServer(cell.customer('bench'), { version: '0', mayApprove: false, onProblem: () => {} });
  const client = new Client({ name: 'bench', version: '0' });
  const [mine, theirs] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(theirs), client.connect(mine)]);
  const { tools } = await client.listTools();
  const instructions = client.getInstructions() ?? '';
  await client.close();
  const definitions = tools.map(({ name, description, inputSchema }) => ({
    name,
    description,
    input_schema: inputSchema,
  }));
  return countTokens(instructions) + countTokens(JSON.stringify(definitions));
}

async function report(name: string, { tools, queries }: Requests): Promise<void> {
  const selector = new ToolSelector(tools);
  const byName = new Map(tools.map((tool) => [toolName(tool), tool]));
  const catalog = { list: () => tools, get: (each: string) => byName.get(each) as ToolDescriptor };
  const search = (query: string, options: ToolSearchOptions) => searchTools([query], options, { catalog, selector });
  const all = countTokens(JSON.stringify(tools.map(asDefinition)));
  const sum = { recall: 0, summaries: 0, chosen: 0, full: 0 };
  for (const { text, gold } of queries) {
    const found = await search(text, { limit: LIMIT });
    const right = found.hits.filter((hit) => gold.has(toolName(hit)));
    sum.recall += right.length / gold.size;
    sum.summaries += tokensOf(found);
    for (const hit of right) sum.chosen += tokensOf(await search(toolName(hit), { limit: 1, detail: 'full' }));
    sum.full += tokensOf(await search(text, { limit: LIMIT, detail: 'full' }));
  }
  const mean = (total: number) => total / queries.length;
  console.log(`\n${name}: ${tools.length} tools, ${queries.length} requests`);
  console.log(`  all definitions in context                        ${tokens(all)}`);
  console.log(`  Workcell's own MCP tools and instructions         ${tokens(ownTokens)}`);
  console.log(`  search, ${LIMIT} summaries                               ${tokens(mean(sum.summaries))}`);
  console.log(`  full definitions of those of them that are right  ${tokens(mean(sum.chosen))}`);
  console.log(`  or: search, ${LIMIT} full definitions                    ${tokens(mean(sum.full))}`);
  console.log(
    `  right tools among the ${LIMIT}                           ${(100 * mean(sum.recall)).toFixed(1).padStart(9)} %`,
  );
  printSaving('summaries, then the right ones', all, mean(sum.summaries) + mean(sum.chosen));
  printSaving(`${LIMIT} full definitions at once`, all, mean(sum.full));
}

/** Without and with what Workcell's own tools take, which is the same however many tools there are. */
function printSaving(way: string, all: number, read: number): void {
  const saving = (count: number) => `${Math.round(count)} tokens, ${(100 * (1 - count / all)).toFixed(2)} % fewer`;
  const verdict =
    1 - (read + ownTokens) / all >= AIM ? 'reached' : 1 - read / all >= AIM ? 'reached without' : 'missed';
  console.log(`  => ${way}: ${saving(read)}; with Workcell's own: ${saving(read + ownTokens)}`);
  console.log(`     ${(all / read).toFixed(0)} times less; ${100 * AIM} % fewer is ${verdict}`);
}

/** As clients put a tool into a model's context. */
function asDefinition({ server, tool, description, inputSchema }: ToolDescriptor): object {
  return { name: `${server}__${tool}`, description, input_schema: inputSchema };
}

function tokensOf({ hits }: ToolSearchResult): number {
  return hits.reduce((sum, { text }) => sum + countTokens(text), 0);
}

/** The tools that the first requests need, filled up to 1,000, and all requests that they can serve. */
function pool({ tools, queries }: Requests): Requests {
  const needed = new Set(queries.flatMap(({ gold }) => [...gold]));
  const ordered = [
    ...tools.filter((tool) => needed.has(toolName(tool))),
    ...tools.filter((tool) => !needed.has(toolName(tool))),
  ];
  const chosen = ordered.slice(0, POOL).map(withJsonTypes);
  const names = new Set(chosen.map(toolName));
  return { tools: chosen, queries: queries.filter(({ gold }) => [...gold].every((name) => names.has(name))) };
}

function withJsonTypes(tool: ToolDescriptor): ToolDescriptor {
  const revive = (key: string, value: unknown) => (key === 'type' ? (JSON_TYPES.get(String(value)) ?? value) : value);
  return JSON.parse(JSON.stringify(tool), revive) as ToolDescriptor;
}

function tokens(count: number): string {
  return `${Math.round(count).toLocaleString('en')} tokens`.padStart(16);
}

/** One request for each kind of tool that the official servers have. */
function officialQueries(): readonly Query[] {
  const requests: readonly (readonly [string, ...string[]])[] = [
    ['Remember that Alice works at Acme', 'memory.create_entities', 'memory.create_relations'],
    ['Create entities for the people in my notes in the knowledge graph', 'memory.create_entities'],
    ['What is in the knowledge graph? Read all of it', 'memory.read_graph'],
    ['Find the nodes about Alice', 'memory.search_nodes'],
    ['Read the text file notes.txt', 'filesystem.read_text_file'],
    ['Write the report into a file', 'filesystem.write_file'],
    ['List the files in a directory', 'filesystem.list_directory'],
    ['Find all files that match *.ts', 'filesystem.search_files'],
    ['Rename a file', 'filesystem.move_file'],
    ['Replace a line in a text file', 'filesystem.edit_file'],
    ['Echo a message back', 'everything.echo'],
    ['Show the environment variables', 'everything.get-env'],
  ];
  return requests.map(([text, ...gold]) => ({ text, gold: new Set(gold) }));
}
