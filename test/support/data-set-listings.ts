import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ListedTool, ServerListing } from '../../src/catalog/write-server.ts';
import type { JsonSchema, ToolDescriptor } from '../../src/core/tool.ts';
import { bfcl, mcpproxy, metaToolSingle, sealTools } from '../bench/tool-retrieval-data.ts';

/** Every tool of the data sets for tool retrieval, in servers; their types in the words of JSON Schema. */
export function dataSetListings(folder: string): readonly ServerListing[] {
  const tools = [
    ...metaToolSingle(folder, 'dev').tools,
    ...mcpproxy(folder).tools,
    ...sealTools(folder, 'dev').tools,
    ...(['multiple', 'irrelevance'] as const).flatMap((part) => bfcl(folder, part).flatMap((choice) => choice.tools)),
  ];
  const responses = sealToolsResponses(folder);
  const servers = Map.groupBy(tools, ({ server }) => slug(server));
  return [...servers].map(([server, list]) => ({
    server,
    tools: [...new Map(list.map((tool) => [JSON.stringify(tool), listedTool(tool, responses)])).values()].map(
      (tool, index, all) => {
        const isFirst = all.findIndex((other) => other.tool === tool.tool) === index;
        return isFirst ? tool : { ...tool, tool: `${tool.tool}#${index}` };
      },
    ),
  }));
}

function listedTool(
  { tool, description, inputSchema }: ToolDescriptor,
  responses: ReadonlyMap<string, object>,
): ListedTool {
  const properties = responses.get(tool);
  const outputSchema = properties === undefined ? {} : { outputSchema: jsonSchema({ type: 'object', properties }) };
  return { tool, description, inputSchema: jsonSchema(inputSchema), ...outputSchema };
}

function sealToolsResponses(folder: string): ReadonlyMap<string, object> {
  const lines = readFileSync(join(folder, 'seal-tools/tool.jsonl'), 'utf8').split('\n');
  const apis = lines.filter((line) => line !== '').map((line) => JSON.parse(line));
  return new Map(apis.map(({ api_name, responses }) => [api_name, responses ?? {}]));
}

const TYPES: Readonly<Record<string, string | undefined>> = {
  dict: 'object',
  float: 'number',
  double: 'number',
  int: 'integer',
  str: 'string',
  bool: 'boolean',
  list: 'array',
  tuple: 'array',
  any: undefined,
};

/** The data sets name types as Python does. */
function jsonSchema(schema: unknown): JsonSchema {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return {};
  const { type, properties, items, ...rest } = schema as Record<string, unknown>;
  const mapped = typeof type === 'string' && type in TYPES ? TYPES[type] : type;
  return {
    ...rest,
    ...(mapped === undefined ? {} : { type: mapped }),
    ...(items === undefined ? {} : { items: jsonSchema(items) }),
    ...(typeof properties === 'object' && properties !== null
      ? { properties: Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, jsonSchema(value)])) }
      : {}),
  };
}

function slug(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 60);
}
