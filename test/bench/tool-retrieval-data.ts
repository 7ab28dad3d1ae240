import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { ToolDescriptor } from '../../src/core/tool.ts';

export interface Query {
  readonly text: string;
  /** Names, as `server.tool`, of the right tools; empty when there is none. */
  readonly gold: ReadonlySet<string>;
  /** How right each of them is, where some are more than others. */
  readonly grades?: ReadonlyMap<string, number>;
}

/** Parameters are chosen on the one, and what they give is reported on the other. */
export type Half = 'dev' | 'test';

/** The half that a text is in, the same for ever: by the first byte of its SHA-256, even or odd. */
export function halfOf(text: string): Half {
  return ((createHash('sha256').update(text).digest()[0] ?? 0) & 1) === 0 ? 'dev' : 'test';
}

export interface DataSet {
  readonly name: string;
  readonly tools: readonly ToolDescriptor[];
  readonly queries: readonly Query[];
}

/** One request with the few functions that it may choose from. */
export interface Choice {
  readonly tools: readonly ToolDescriptor[];
  readonly query: Query;
}

const Parameters = z.record(z.string(), z.unknown());

/** In an order that has nothing to do with that of the file, and is always the same. */
export function shuffled(queries: readonly Query[]): readonly Query[] {
  const placeOf = ({ text }: Query) => createHash('sha256').update(`order ${text}`).digest('hex');
  return queries
    .map((query) => ({ query, place: placeOf(query) }))
    .sort((a, b) => (a.place < b.place ? -1 : 1))
    .map(({ query }) => query);
}

/** MetaTool: 199 plugins with one line each, and what users asked of one of them. */
export function metaToolSingle(folder: string, half: Half): DataSet {
  const rows = parseCsv(readFileSync(join(folder, 'metatool/all_clean_data.csv'), 'utf8')).slice(1);
  const queries = rows.flatMap(([text, tool]) =>
    text === undefined || tool === undefined ? [] : [{ text, gold: new Set([`metatool.${tool}`]) }],
  );
  return { name: `MetaTool one tool, ${half}`, tools: metaTools(folder), queries: queries.filter(isIn(half)) };
}

/** MetaTool: requests that need two of its plugins. */
export function metaToolMulti(folder: string, half: Half): DataSet {
  const rows = readJson(
    folder,
    'metatool/multi_tool_query_golden.json',
    z.array(z.object({ query: z.string(), tool: z.array(z.string()) })),
  );
  const queries = rows.map(({ query, tool }) => ({
    text: query,
    gold: new Set(tool.map((name) => `metatool.${name}`)),
  }));
  return { name: `MetaTool two tools, ${half}`, tools: metaTools(folder), queries: queries.filter(isIn(half)) };
}

/** Seal-Tools: 4,076 functions with parameters, and requests for one or more of them. */
export function sealTools(folder: string, split: 'dev' | 'test_in_domain'): DataSet {
  const Api = z.object({
    api_name: z.string(),
    api_description: z.string(),
    field: z.string(),
    parameters: Parameters,
    responses: Parameters,
  });
  const apis = readLines(folder, 'seal-tools/tool.jsonl', Api);
  const tools = apis.map((api) =>
    descriptor(
      api.field.split('/')[0] ?? '',
      api.api_name,
      api.api_description,
      { type: 'object', properties: api.parameters },
      { type: 'object', properties: api.responses },
    ),
  );
  const serverOf = new Map(tools.map(({ server, tool }) => [tool, server]));
  const Row = z.object({ query: z.string(), calling: z.array(z.object({ api: z.string() })) });
  const queries = readLines(folder, `seal-tools/${split}.jsonl`, Row).map(({ query, calling }) => ({
    text: query,
    gold: new Set(calling.map(({ api }) => `${serverOf.get(api)}.${api}`)),
  }));
  return { name: `Seal-Tools, ${split}`, tools, queries };
}

/** 45 tools of seven real MCP servers, with graded answers; without their parameters. */
export function mcpproxy(folder: string): DataSet {
  const Tool = z.object({ server: z.string(), tool: z.string(), description: z.string() });
  const corpus = readJson(folder, 'mcpproxy/corpus_v1.tools.json', z.object({ tools: z.array(Tool) }));
  const Label = z.object({ tool_id: z.string(), relevance: z.number() });
  const Row = z.object({ query: z.string(), labels: z.array(Label) });
  const golden = readJson(folder, 'mcpproxy/retrieval_golden_v1.json', z.object({ queries: z.array(Row) }));
  const queries = golden.queries.map(({ query, labels }) => {
    const right = labels.filter(({ relevance }) => relevance > 0);
    const grades = new Map(right.map(({ tool_id, relevance }) => [tool_id.replace(':', '.'), relevance]));
    return { text: query, gold: new Set(grades.keys()), grades };
  });
  const tools = corpus.tools.map(({ server, tool, description }) => descriptor(server, tool, description, {}));
  return { name: 'mcpproxy golden', tools, queries: queries.filter(({ gold }) => gold.size > 0) };
}

/** BFCL: requests that one of the offered functions serves, or, for `irrelevance`, that none does. */
export function bfcl(folder: string, part: 'multiple' | 'irrelevance'): Choice[] {
  const Message = z.object({ role: z.string(), content: z.string() });
  const Offered = z.object({ name: z.string(), description: z.string(), parameters: Parameters });
  const Row = z.object({ id: z.string(), question: z.array(z.array(Message)), function: z.array(Offered) });
  const answers = part === 'multiple' ? bfclAnswers(folder) : new Map<string, string[]>();
  return readLines(folder, `bfcl/BFCL_v4_${part}.json`, Row).map((row) => ({
    tools: row.function.map(({ name, description, parameters }) =>
      descriptor('functions', name, description, parameters),
    ),
    query: {
      text: row.question
        .flat()
        .flatMap(({ role, content }) => (role === 'user' ? [content] : []))
        .join(' '),
      gold: new Set((answers.get(row.id) ?? []).map((name) => `functions.${name}`)),
    },
  }));
}

/** BFCL multiple as one catalog: each request against the functions of all of them. */
export function bfclPooled(folder: string): DataSet {
  const choices = bfcl(folder, 'multiple');
  const tools = new Map(choices.flatMap(({ tools: offered }) => offered.map((tool) => [tool.tool, tool] as const)));
  return { name: 'BFCL multiple, pooled', tools: [...tools.values()], queries: choices.map(({ query }) => query) };
}

function isIn(half: Half): (query: Query) => boolean {
  return ({ text }) => halfOf(text) === half;
}

function bfclAnswers(folder: string): Map<string, string[]> {
  const Row = z.object({ id: z.string(), ground_truth: z.array(Parameters) });
  const rows = readLines(folder, 'bfcl/possible_answer_BFCL_v4_multiple.json', Row);
  return new Map(rows.map(({ id, ground_truth }) => [id, ground_truth.flatMap((call) => Object.keys(call))]));
}

function metaTools(folder: string): ToolDescriptor[] {
  const plugins = readJson(folder, 'metatool/plugin_des.json', z.record(z.string(), z.string()));
  return Object.entries(plugins).map(([name, description]) => descriptor('metatool', name, description, {}));
}

function descriptor(
  server: string,
  tool: string,
  description: string,
  inputSchema: object,
  outputSchema?: object,
): ToolDescriptor {
  return {
    ...{ kind: 'upstream', server, tool, identifier: tool, description, inputSchema: { ...inputSchema } },
    ...(outputSchema === undefined ? {} : { outputSchema: { ...outputSchema } }),
  };
}

function readJson<T>(folder: string, file: string, schema: z.ZodType<T>): T {
  return schema.parse(JSON.parse(readFileSync(join(folder, file), 'utf8')));
}

function readLines<T>(folder: string, file: string, schema: z.ZodType<T>): T[] {
  const lines = readFileSync(join(folder, file), 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line) => schema.parse(JSON.parse(line)));
}

/** Rows of comma-separated fields, which may be quoted. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, bare, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? bare ?? '');
    if (end !== ',') rows.push([]);
  }
  return rows.filter((row) => row.length > 1);
}
