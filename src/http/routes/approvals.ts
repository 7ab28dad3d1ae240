import { z } from 'zod';
import { defineRoute, type Route } from '../define-route.ts';
import { approvalSchema } from '../schemas/execution.ts';
import { pageOf, pageQuery, takePage } from '../schemas/page.ts';

const decidedSchema = z
  .object({
    approvalId: z.string(),
    executionId: z.string(),
    approved: z.boolean(),
    by: z.string().describe('The key that has decided'),
    reason: z.string().exactOptional(),
  })
  .meta({ id: 'DecidedApproval' });

/** Calls of tools that wait until somebody allows them. */
export function approvalRoutes(): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/approvals',
      summary: 'List the calls that wait for a decision',
      scope: 'read',
      query: pageQuery,
      responses: { 200: { description: 'By their ids', schema: pageOf(approvalSchema) } },
      handler: async ({ customer, query }) => {
        const keyOf = ({ approvalId }: { readonly approvalId: string }) => approvalId;
        const all = (await customer.listApprovals()).toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
        return { body: takePage(all, query, keyOf) };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/approvals/{approvalId}',
      summary: 'Allow or refuse a call; its program goes on',
      description: 'The same decision again changes nothing; a contrary one is `invalid_state`.',
      scope: 'approve',
      params: z.strictObject({ approvalId: z.string() }),
      body: z.strictObject({
        decision: z.enum(['approve', 'reject']),
        reason: z.string().max(1024).optional().describe('Told to the program'),
      }),
      responses: { 200: { description: 'It is decided', schema: decidedSchema } },
      handler: async ({ customer, params: { approvalId }, body: { decision, reason }, principal }) => {
        const by = principal.keyId ?? principal.role;
        const approved = decision === 'approve';
        return { body: await customer.decideApproval(approvalId, { approved, by, reason }) };
      },
    }),
  ];
}
