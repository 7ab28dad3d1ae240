import { z } from 'zod';
import { LANGUAGES } from '../core/execution.ts';
import type { Customer } from '../workcell/customer.ts';
import { DETAILS } from '../workcell/search-tools.ts';
import { answer } from './tool-answer.ts';
import type { ToolTable } from './tool-table.ts';

/** `search_tools`. */
export function registerSearchTools(tools: ToolTable, customer: Customer): void {
  tools.registerTool(
    'search_tools',
    {
      title: 'Find tools',
      description: 'Find tools that programs can import. Ask once, with one query for each step of the task.',
      inputSchema: {
        queries: z.array(z.string()).min(1).max(20),
        detail: z.enum(DETAILS).default('full').describe('full: types, ready to import'),
        language: z.enum(LANGUAGES).default('typescript'),
        limit: z.int().min(1).max(50).default(5),
      },
      outputSchema: {
        tools: z.array(z.object({ server: z.string(), tool: z.string(), score: z.number(), text: z.string() })),
        left_out: z.array(z.string()),
      },
      annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
    },
    async ({ queries, detail, language, limit }) => {
      const { hits, leftOut, considered } = await customer.searchTools(queries, { detail, language, limit });
      const separator = detail === 'full' ? '\n\n' : '\n';
      const more = leftOut.length === 0 ? '' : `\n\nNo room for: ${leftOut.join(', ')}; search for them by name`;
      const none = `None of ${considered} tools fits; use other words`;
      // With the text, because a client may show a model either this or the content, and not both.
      const found = hits.map(({ server, tool, score, text }) => ({ server, tool, score, text }));
      return answer((hits.map(({ text }) => text).join(separator) || none) + more, { tools: found, left_out: leftOut });
    },
  );
}
