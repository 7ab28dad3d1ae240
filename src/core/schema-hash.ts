import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';
import type { ToolDescriptor } from './tool.ts';

/** SHA-256 of what a program can tell of a tool: its name, description and schemas, whatever the order of their keys. */
export function schemaHash(
  tool: Pick<ToolDescriptor, 'tool' | 'description' | 'inputSchema' | 'outputSchema'>,
): string {
  const { tool: name, description, inputSchema, outputSchema } = tool;
  return createHash('sha256')
    .update(canonicalJson([name, description, inputSchema, outputSchema ?? null]))
    .digest('hex');
}
