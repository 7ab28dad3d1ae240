import { z } from 'zod';
import { defineRoute, type Route } from '../define-route.ts';

const quota = z.object({
  used: z.number().nullable().describe('Null where nobody counts, because there is no limit'),
  limit: z.number().nullable(),
  left: z.number().nullable(),
});

const usageSchema = z
  .object({
    customer: z.string(),
    executions: quota.describe('At once'),
    executionsPerMinute: quota,
    cpuSecondsPerDay: quota.describe('Since midnight, UTC; with what executions under way may still use'),
    diskBytes: quota.describe('Of files and skills'),
  })
  .meta({ id: 'Usage' });

/** What a customer uses of what it may. */
export function usageRoutes(): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/usage',
      summary: 'Look at what a customer uses of its quotas, and what is left',
      scope: 'read',
      responses: { 200: { description: 'Every quota; null where there is no limit', schema: usageSchema } },
      handler: async ({ customer }) => ({ body: { customer: customer.id, ...(await customer.usage()) } }),
    }),
  ];
}
