import { z } from 'zod';
import type { Principal } from '../../core/principal.ts';
import { defineRoute, type Route } from '../define-route.ts';

const id = z.string().describe('The approval, as listed');

const pendingSchema = z
  .object({
    approvalId: z.string(),
    executionId: z.string(),
    sessionId: z.string(),
    call: z.int().describe('The number of the call in its execution'),
    server: z.string(),
    tool: z.string(),
    arguments: z.unknown().describe('What the tool will be sent'),
    requestedAt: z.string().describe('ISO 8601, UTC'),
  })
  .meta({ id: 'PendingApproval' });

const decidedSchema = z
  .object({
    approvalId: z.string(),
    executionId: z.string(),
    approved: z.boolean(),
    by: z.string(),
    reason: z.string().exactOptional(),
  })
  .meta({ id: 'DecidedApproval' });

/** Tool calls that wait to be approved. */
export function approvalRoutes(): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/approvals',
      summary: 'List the tool calls that wait to be approved',
      scope: 'read',
      responses: {
        200: { description: 'Oldest first', schema: z.object({ items: z.array(pendingSchema) }) },
      },
      handler: async ({ customer }) => ({ body: { items: await customer.listApprovals() } }),
    }),
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/approvals/{id}/decision',
      summary: 'Approve or reject a tool call',
      description:
        'Good for this one call. The same decision again changes nothing; a contrary one is `invalid_state`. A program that is not kept waiting any more runs again, with the answers that it had.',
      scope: 'approve',
      params: z.strictObject({ id }),
      body: z.strictObject({
        approved: z.boolean(),
        reason: z.string().max(2_000).optional().describe('Kept, and told to the program of a call that is rejected'),
      }),
      responses: { 200: { description: 'What holds', schema: decidedSchema } },
      handler: async ({ customer, params, body: { approved, reason }, principal }) => {
        const { runsHere: _, ...decided } = await customer.decideApproval(params.id, {
          approved,
          by: nameOf(principal),
          reason,
        });
        return { body: decided };
      },
    }),
  ];
}

function nameOf({ keyId, role }: Principal): string {
  return keyId === undefined ? `the ${role}` : `key ${keyId}`;
}
