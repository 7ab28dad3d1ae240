import { z } from 'zod';
import { LANGUAGES } from '../../core/execution.ts';
import { toolName } from '../../core/tool.ts';
import { DETAILS } from '../../workcell/search-tools.ts';
import { defineRoute, type HttpContext, type Route } from '../define-route.ts';
import { pageFields, pageOf, takePage } from '../schemas/page.ts';
import { hiddenServerSchema, selectedToolFields } from '../schemas/selection.ts';

const text = z.string().min(1).max(10_000);
const language = z.enum(LANGUAGES).default('typescript');
const jsonSchema = z.union([z.boolean(), z.record(z.string(), z.unknown())]).describe('A JSON Schema');

const annotations = z.object({
  title: z.string().exactOptional(),
  readOnlyHint: z.boolean().exactOptional(),
  destructiveHint: z.boolean().exactOptional(),
  idempotentHint: z.boolean().exactOptional(),
  openWorldHint: z.boolean().exactOptional(),
});

const toolSummary = z
  .object({ server: z.string(), tool: z.string(), kind: z.enum(['upstream', 'module']), description: z.string() })
  .meta({ id: 'ToolSummary' });

const toolDetails = z
  .object({
    ...toolSummary.shape,
    inputSchema: jsonSchema,
    outputSchema: jsonSchema.exactOptional(),
    observedOutput: jsonSchema.exactOptional().describe('The structure of the results so far; a guess, not a promise'),
    annotations: annotations.exactOptional(),
    definition: z.string().describe('Types of the tool and the function that calls it, as programs use it'),
  })
  .meta({ id: 'Tool' });

const searchResult = z
  .object({
    mode: z.enum(['lexical', 'hybrid']),
    withoutEmbeddings: z.string().exactOptional(),
    hidden: z.array(hiddenServerSchema).exactOptional(),
    considered: z.int(),
    hits: z.array(z.object({ ...selectedToolFields, detail: z.enum(DETAILS), text: z.string() })),
    tokens: z.int().describe('Of the texts of all hits, about'),
    leftOut: z.array(z.string()).describe('Found, and not told for want of tokens'),
  })
  .meta({ id: 'ToolSearchResult' });

/** What programs can call. */
export function toolRoutes({ cell }: HttpContext): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/tools',
      summary: 'List the tools that programs can call',
      scope: 'read',
      query: z.strictObject({ ...pageFields, server: z.string().optional().describe('Only those of this server') }),
      responses: { 200: { description: 'Sorted by server and name', schema: pageOf(toolSummary) } },
      handler: async ({ query }) => {
        const { server: wanted } = query;
        const tools = cell.listTools().filter(({ server }) => wanted === undefined || server === wanted);
        const sorted = tools.toSorted((a, b) => (toolName(a) < toolName(b) ? -1 : 1));
        const { items, nextCursor } = takePage(sorted, query, toolName);
        const told = items.map(({ server, tool, kind, description }) => ({ server, tool, kind, description }));
        return { body: { items: told, nextCursor } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/tools/search',
      summary: 'Find the tools for a task, or for each step of one',
      scope: 'read',
      query: z.strictObject({
        q: z
          .union([text, z.array(text).max(20)], { error: 'give 1 to 20 texts of 1 to 10000 characters' })
          .describe('What is to be done; repeat it for each step'),
        limit: z.coerce.number().int().min(1).max(100).optional(),
        detail: z.enum(DETAILS).optional().describe('How much is told of each; default summaries'),
        maxTokens: z.coerce.number().int().min(1).max(100_000).optional(),
        language: language.describe('Of full definitions'),
      }),
      responses: { 200: { description: 'Those that fit, best first', schema: searchResult } },
      handler: async ({ customer, query: { q, ...options } }) => ({ body: await customer.searchTools(q, options) }),
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/tools/{server}/{tool}',
      summary: 'Show one tool as programs use it',
      scope: 'read',
      params: z.strictObject({ server: z.string(), tool: z.string() }),
      query: z.strictObject({ language }),
      responses: { 200: { description: 'The tool', schema: toolDetails } },
      handler: async ({ params, query }) => {
        const { tool: found, definition } = cell.showTool(toolName(params), query.language);
        const { server, tool, kind, description, inputSchema, outputSchema, observedOutput, annotations } = found;
        return {
          body: { server, tool, kind, description, inputSchema, outputSchema, observedOutput, annotations, definition },
        };
      },
    }),
  ];
}
