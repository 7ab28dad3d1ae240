import type { JsonSchema, ToolDescriptor } from '../core/tool.ts';

/** The parts of a tool that are searched, each with the weight of a word in it. Their order is that of the reasons. */
export const FIELDS = [
  { name: 'name', weight: 2 },
  { name: 'server', weight: 1 },
  { name: 'description', weight: 1 },
  { name: 'parameters', weight: 0.5 },
] as const;

/** The text of a tool's {@link FIELDS}, in their order. */
export function toolText(tool: ToolDescriptor): readonly string[] {
  const description = `${tool.annotations?.title ?? ''} ${tool.description}`.trim().slice(0, MAX_DESCRIPTION);
  return [tool.tool, tool.server, description, parameterText(tool.inputSchema, MAX_DEPTH)];
}

/** Long descriptions end in usage notes, which would drown the words that say what the tool does. */
const MAX_DESCRIPTION = 1_000;
const MAX_DEPTH = 3;

/** Names, descriptions and enum values of the parameters, and of what is nested in them. */
function parameterText(schema: JsonSchema, depth: number): string {
  const parts: string[] = [];
  for (const [name, parameter] of Object.entries(objectOf(objectOf(schema)['properties']))) {
    const { description, enum: values, items } = objectOf(parameter);
    parts.push(name);
    if (typeof description === 'string') parts.push(description);
    if (Array.isArray(values)) parts.push(values.filter((value) => typeof value === 'string').join(' '));
    if (depth > 1) parts.push(parameterText(objectOf(parameter), depth - 1), parameterText(objectOf(items), depth - 1));
  }
  return parts.join(' ');
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
