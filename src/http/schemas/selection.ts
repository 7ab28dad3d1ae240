import { z } from 'zod';
import type { HiddenServer, SelectedTool, Selection } from '../../core/selection.ts';

export const selectedToolFields: {
  readonly server: z.ZodString;
  readonly tool: z.ZodString;
  readonly score: z.ZodNumber;
  readonly reasons: z.ZodReadonly<z.ZodArray<z.ZodString>>;
} = {
  server: z.string(),
  tool: z.string(),
  score: z.number().describe('0 to 1'),
  reasons: z.array(z.string()).readonly(),
};

const selectedTool: z.ZodType<SelectedTool> = z.object(selectedToolFields).meta({ id: 'SelectedTool' });

export const hiddenServerSchema: z.ZodType<HiddenServer> = z
  .object({ server: z.string(), reason: z.string(), tools: z.array(z.string()).readonly() })
  .meta({ id: 'HiddenServer', description: 'A server that cannot be called at the moment' });

/** Which tools a program was given, and why. */
export const selectionSchema: z.ZodType<Selection> = z
  .object({
    mode: z.enum(['explicit', 'imports', 'lexical', 'hybrid', 'none']),
    withoutEmbeddings: z.string().exactOptional(),
    considered: z.int(),
    tools: z.array(selectedTool).readonly(),
    noMatch: z.object({ reason: z.string(), nearMisses: z.array(selectedTool).readonly() }).nullable(),
    hidden: z.array(hiddenServerSchema).readonly().exactOptional(),
    budget: z.object({ maxTokens: z.int(), tokens: z.int(), leftOut: z.array(z.string()).readonly() }).exactOptional(),
  })
  .meta({ id: 'Selection' });
