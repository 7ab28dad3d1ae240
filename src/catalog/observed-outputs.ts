import { join } from 'node:path';
import { z } from 'zod';
import { joinObserved, type ObservedSchema } from '../codegen/observed-schema.ts';
import { readTextIfExists } from '../util/atomic-file.ts';
import type { ToolManifest } from './tool-manifest.ts';

/**
 * `servers/<server>/observed.json`: the structure of the results of tools for which their server publishes no output
 * schema. The folder is read by the programs of all customers, so the file holds what `codegen/observed-schema.ts` lets
 * pass of a result: types and names that the server itself has published, never a value.
 */
export const OBSERVED_FILE = 'observed.json';

/** By the names of the tools. */
export type ObservedOutputs = ReadonlyMap<string, ObservedOutput>;

export interface ObservedOutput {
  /** Of the tool that gave the results; they say nothing of one that has changed. */
  readonly schemaHash: string;
  readonly output: ObservedSchema;
}

export const NONE_OBSERVED: ObservedOutputs = new Map();

/** A tool whose results fall apart into more than this is not learned any further. */
const MAX_SCHEMA_CHARACTERS = 16 * 1024;

const observedSchema: z.ZodType<ObservedSchema> = z.lazy(() =>
  z.object({
    type: z.array(z.enum(['array', 'boolean', 'integer', 'null', 'number', 'object', 'string'])).exactOptional(),
    items: observedSchema.exactOptional(),
    properties: z.record(z.string(), observedSchema).exactOptional(),
    required: z.array(z.string()).exactOptional(),
    additionalProperties: observedSchema.exactOptional(),
  }),
);

const fileSchema = z.object({
  tools: z.record(z.string(), z.object({ schemaHash: z.string(), output: observedSchema })),
});

/** What was learned so far. A file that cannot be read is as none: what it held is learned again. */
export async function readObserved(folder: string): Promise<ObservedOutputs> {
  const text = await readTextIfExists(join(folder, OBSERVED_FILE));
  if (text === undefined) return NONE_OBSERVED;
  const { data } = fileSchema.safeParse(jsonOrUndefined(text));
  return data === undefined ? NONE_OBSERVED : new Map(Object.entries(data.tools));
}

/** The same knowledge is always the same text. */
export function renderObserved(observed: ObservedOutputs): string {
  const tools = Object.fromEntries([...observed].sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ tools }, null, 2)}\n`;
}

/**
 * What is known with these results too, without tools that are gone, have changed or have an output schema; the same
 * object when that is nothing new.
 */
export function widened(
  observed: ObservedOutputs,
  manifest: ToolManifest,
  results: ReadonlyMap<string, ObservedSchema>,
): ObservedOutputs {
  const now = manifest.tools.flatMap(({ tool, schemaHash, outputSchema }) => {
    if (schemaHash === undefined || outputSchema !== undefined) return [];
    const known = observed.get(tool);
    const before = known?.schemaHash === schemaHash ? known : undefined;
    const result = results.get(tool);
    if (result === undefined) return before === undefined ? [] : [[tool, before] as const];
    const output = joinObserved(before?.output ?? {}, result);
    const isBounded = JSON.stringify(output).length <= MAX_SCHEMA_CHARACTERS;
    return [[tool, isBounded ? { schemaHash, output } : (before ?? { schemaHash, output: {} })] as const];
  });
  const next = new Map(now);
  return renderObserved(next) === renderObserved(observed) ? observed : next;
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
