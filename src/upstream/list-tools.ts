import { z } from 'zod';
import { readPages } from './read-pages.ts';
import { ANY_ARGUMENTS, type UpstreamTool } from './upstream-server.ts';

const schema = z.union([z.boolean(), z.record(z.string(), z.unknown())]);
const hint = z.boolean().optional().catch(undefined);

/** Read leniently: what is broken in one tool is left out of it, and no other tool is lost for it. */
const tool = z.object({
  name: z.string().min(1),
  title: z.string().optional().catch(undefined),
  description: z.string().optional().catch(undefined),
  inputSchema: schema.catch(ANY_ARGUMENTS),
  outputSchema: schema.optional().catch(undefined),
  annotations: z
    .object({
      title: z.string().optional().catch(undefined),
      readOnlyHint: hint,
      destructiveHint: hint,
      idempotentHint: hint,
      openWorldHint: hint,
    })
    .optional()
    .catch(undefined),
});

export const toolPageSchema = z.looseObject({ tools: z.array(z.unknown()), nextCursor: z.string().nullish() });
export type ToolPage = z.output<typeof toolPageSchema>;

/** All tools of all pages, each name once; an entry without a name is left out. Throws as {@link readPages} does. */
export async function listTools(
  readPage: (cursor: string | undefined) => Promise<ToolPage>,
): Promise<readonly UpstreamTool[]> {
  const tools = new Map<string, UpstreamTool>();
  const entries = await readPages('tools', async (cursor) => {
    const page = await readPage(cursor);
    return { entries: page.tools, nextCursor: page.nextCursor };
  });
  for (const entry of entries) {
    const read = readTool(entry);
    if (read !== undefined && !tools.has(read.tool)) tools.set(read.tool, read);
  }
  return [...tools.values()];
}

function readTool(entry: unknown): UpstreamTool | undefined {
  const { data } = tool.safeParse(entry);
  if (data === undefined) return undefined;
  const { name, title, description, inputSchema, outputSchema, annotations } = data;
  return {
    tool: name,
    description: description ?? title ?? '',
    inputSchema,
    ...(outputSchema === undefined ? {} : { outputSchema }),
    ...(annotations === undefined ? {} : { annotations: withoutUndefined(annotations) }),
  };
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as never;
}
