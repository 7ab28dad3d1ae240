import { join } from 'node:path';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { HELPER_METHODS } from '../core/tool.ts';
import { readTextIfExists } from '../util/atomic-file.ts';

const schema = z.union([z.boolean(), z.record(z.string(), z.unknown())]);

const tool = z.object({
  tool: z.string().min(1),
  identifier: z.string().regex(/^[A-Za-z_$][\w$]*$/, 'is not an identifier'),
  pythonIdentifier: z
    .string()
    .regex(/^[A-Za-z_]\w*$/, 'is not a Python identifier')
    .exactOptional(),
  description: z.string(),
  inputSchema: schema,
  outputSchema: schema.exactOptional(),
  annotations: z
    .object({
      title: z.string().exactOptional(),
      readOnlyHint: z.boolean().exactOptional(),
      destructiveHint: z.boolean().exactOptional(),
      idempotentHint: z.boolean().exactOptional(),
      openWorldHint: z.boolean().exactOptional(),
    })
    .exactOptional(),
  method: z.enum(HELPER_METHODS).exactOptional(),
  /** Of the tool as its server listed it; generated manifests have it. */
  schemaHash: z.string().exactOptional(),
});

const manifestSchema = z.object({
  server: z.string(),
  kind: z.enum(['upstream', 'module']),
  description: z.string().exactOptional(),
  /** Version of the generator that wrote the folder; generated manifests have it. */
  generator: z.number().exactOptional(),
  tools: z.array(tool),
});

/** `servers/<server>/manifest.json`: what is known of one server's tools. */
export type ToolManifest = z.output<typeof manifestSchema>;

/**
 * Reads the manifest in a server's folder; undefined when there is none. Throws `invalid_state` that says what is wrong
 * with it.
 */
export async function readManifest(folder: string, server: string): Promise<ToolManifest | undefined> {
  const text = await readTextIfExists(join(folder, 'manifest.json'));
  if (text === undefined) return undefined;
  const manifest = parse(text, server);
  if (manifest.server !== server) throw broken(server, `it names the server ${JSON.stringify(manifest.server)}`);
  for (const key of ['tool', 'identifier', 'pythonIdentifier'] as const) {
    const values = manifest.tools.map((entry) => entry[key]).filter((value) => value !== undefined);
    const twice = values.find((value, index) => values.indexOf(value) !== index);
    if (twice !== undefined) throw broken(server, `the ${key} ${JSON.stringify(twice)} is there twice`);
  }
  return manifest;
}

/** The same manifest is always the same text. */
export function renderManifest(manifest: ToolManifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

function parse(text: string, server: string): ToolManifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw broken(server, 'it is not JSON', error);
  }
  const { data, error } = manifestSchema.safeParse(json);
  if (data !== undefined) return data;
  const [issue] = error.issues;
  throw broken(server, `${issue?.path.join('.')}: ${issue?.message}`, error);
}

function broken(server: string, reason: string, cause?: unknown): WorkcellError {
  return new WorkcellError('invalid_state', `Cannot read servers/${server}/manifest.json: ${reason}`, { cause });
}
