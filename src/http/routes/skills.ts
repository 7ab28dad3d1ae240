import { z } from 'zod';
import { isWorkcellError } from '../../core/errors.ts';
import { LANGUAGES } from '../../core/execution.ts';
import type { Customer } from '../../workcell/customer.ts';
import { defineRoute, type Route } from '../define-route.ts';
import { pageFields, pageOf, takePage } from '../schemas/page.ts';

const scope = z.enum(['own', 'shared']);
const toolRef = z.object({ server: z.string(), tool: z.string() });

const readyFields = {
  name: z.string(),
  scope,
  description: z.string(),
  languages: z.array(z.enum(LANGUAGES)),
  execution: z.string().nullable().describe('That it was saved from; null for one that was written by hand'),
  tools: z.array(toolRef),
  stale: z.array(toolRef.extend({ change: z.enum(['changed', 'gone']) })).describe('Tools that are not what they were'),
};

const readySkill = z.object(readyFields).meta({ id: 'Skill' });

const listedSkill = z
  .discriminatedUnion('status', [
    z.object({
      status: z.literal('ready'),
      ...readyFields,
      score: z.number().exactOptional().describe('How well it fits `q`'),
      reasons: z.array(z.string()).exactOptional(),
    }),
    z.object({ status: z.literal('broken'), name: z.string(), scope, problem: z.string() }),
  ])
  .meta({ id: 'ListedSkill' });

const skillDetails = z
  .object({
    ...readyFields,
    instructions: z.string().describe('Markdown'),
    code: z.array(z.object({ path: z.string(), text: z.string() })),
  })
  .meta({ id: 'SkillDetails' });

const params = z.strictObject({ skill: z.string() });

/** Saved programs, which others import: the customer's own and those that all share. */
export function skillRoutes(): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/skills',
      summary: 'List the skills, or find those for a task',
      scope: 'read',
      query: z.strictObject({ ...pageFields, q: z.string().min(1).max(10_000).optional().describe('A task') }),
      responses: { 200: { description: 'By name; with `q` those that fit, best first', schema: pageOf(listedSkill) } },
      handler: async ({ customer, query: { q, ...page } }) => {
        if (q === undefined) return { body: takePage((await customer.skills.list()).skills, page, ({ name }) => name) };
        const hits = await customer.skills.search(q, { limit: page.limit });
        const items = hits.map(({ skill, score, reasons }) => ({ status: 'ready', ...skill, score, reasons }));
        return { body: { items, nextCursor: null } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/skills/{skill}',
      summary: 'Show a skill with its code',
      scope: 'read',
      params,
      responses: { 200: { description: 'The skill', schema: skillDetails } },
      handler: async ({ customer, params: { skill } }) => ({ body: await customer.skills.get(skill) }),
    }),
    defineRoute({
      method: 'PUT',
      path: '/customers/{customer}/skills/{skill}',
      summary: 'Save the program of a completed execution as a skill',
      scope: 'execute',
      params,
      body: z.strictObject({
        execution: z.string(),
        description: z.string().min(1).max(1024).optional().describe('Default: the task of the execution'),
        replace: z.boolean().default(false).describe('Whether one of that name may be there already'),
      }),
      responses: {
        200: { description: 'It has replaced one', schema: readySkill },
        201: { description: 'It is saved', schema: readySkill },
      },
      handler: async ({ customer, params: { skill: name }, body: { execution, description, replace } }) => {
        const existed = replace && (await hasOwn(customer, name));
        const saved = await customer.skills.save({ name, execution, description, force: replace });
        return { status: existed ? 200 : 201, body: saved };
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/customers/{customer}/skills/{skill}',
      summary: 'Remove a skill of the customer',
      scope: 'execute',
      params,
      responses: { 204: { description: 'It is removed' } },
      handler: async ({ customer, params: { skill } }) => {
        await customer.skills.remove(skill);
        return {};
      },
    }),
  ];
}

async function hasOwn({ skills }: Customer, name: string): Promise<boolean> {
  try {
    return (await skills.get(name)).scope === 'own';
  } catch (error) {
    if (isWorkcellError(error)) return error.code === 'invalid_state';
    throw error;
  }
}
