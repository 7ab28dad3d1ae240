import type { JsonSchema, ToolDescriptor } from '../core/tool.ts';

/**
 * The parts of a tool that are searched: how much a word in one weighs, and how much a word in a long one loses (`b` of BM25).
 * Their order is that of the reasons.
 */
export const FIELDS = [
  { name: 'name', weight: 2, lengthLoss: 0.75 },
  { name: 'server', weight: 1, lengthLoss: 0.75 },
  { name: 'description', weight: 1, lengthLoss: 0.4 },
  { name: 'parameters', weight: 0.75, lengthLoss: 0.75 },
  { name: 'results', weight: 0.5, lengthLoss: 0.75 },
] as const;

/** Places in {@link FIELDS}. */
export const NAME = 0;
export const DESCRIPTION = 2;

/** The text of a tool's {@link FIELDS}, in their order. */
export function toolText(tool: ToolDescriptor): readonly string[] {
  const description = `${tool.annotations?.title ?? ''} ${tool.description}`.trim().slice(0, MAX_DESCRIPTION);
  const results = schemaText(tool.outputSchema ?? false, MAX_DEPTH);
  return [tool.tool, tool.server, description, schemaText(tool.inputSchema, MAX_DEPTH), results];
}

/** Long descriptions end in usage notes, which would drown the words that say what the tool does. */
const MAX_DESCRIPTION = 1_000;
const MAX_DEPTH = 3;

/** Names, descriptions and enum values of the properties, and of what is nested in them. */
function schemaText(schema: JsonSchema, depth: number): string {
  const parts: string[] = [];
  for (const [name, property] of Object.entries(objectOf(objectOf(schema)['properties']))) {
    const { description, enum: values, items } = objectOf(property);
    parts.push(name);
    if (typeof description === 'string') parts.push(description);
    if (Array.isArray(values)) parts.push(values.filter((value) => typeof value === 'string').join(' '));
    if (depth > 1) parts.push(schemaText(objectOf(property), depth - 1), schemaText(objectOf(items), depth - 1));
  }
  return parts.join(' ');
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
