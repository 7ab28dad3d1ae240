import { z } from 'zod';
import type { Customer } from '../workcell/customer.ts';
import { staleText } from '../workcell/stale-text.ts';
import { answer } from './tool-answer.ts';
import type { ToolTable } from './tool-table.ts';

/** `search_skills` and `save_skill`. */
export function registerSkills(tools: ToolTable, customer: Customer): void {
  tools.registerTool(
    'search_skills',
    {
      title: 'Find saved programs',
      description: "Programs saved before, to import from 'skills/<name>'.",
      inputSchema: { query: z.string() },
      outputSchema: {
        skills: z.array(z.object({ name: z.string(), description: z.string(), stale: z.string().optional() })),
      },
      annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
    },
    async ({ query }) => {
      const hits = await customer.skills.search(query);
      const skills = hits.map(({ skill: { name, description, stale } }) => ({
        name,
        description,
        stale: stale.length > 0 ? staleText(stale) : undefined,
      }));
      const text = skills.map(
        ({ name, description, stale }) => `${name}: ${description}${stale === undefined ? '' : ` (${stale})`}`,
      );
      return answer(text.join('\n') || 'No skill fits', { skills });
    },
  );
  tools.registerTool(
    'save_skill',
    {
      title: 'Save a program as a skill',
      description: 'Keep the program of a completed execution for later.',
      inputSchema: {
        name: z.string().describe('lower-case words with hyphens'),
        execution_id: z.string(),
        description: z.string().describe('what it does, and when to use it'),
      },
      outputSchema: { name: z.string() },
      annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false },
    },
    async ({ name, execution_id: execution, description }) => {
      const saved = await customer.skills.save({ name, execution, description });
      return answer(`Saved; import it from 'skills/${saved.name}'`, { name: saved.name });
    },
  );
}
