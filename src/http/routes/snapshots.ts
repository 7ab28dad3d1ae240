import { z } from 'zod';
import type { SnapshotInfo } from '../../workcell/customer-snapshots.ts';
import { defineRoute, type HttpContext, type Route } from '../define-route.ts';

const SNAPSHOTS = '/customers/{customer}/snapshots';
const SNAPSHOT = '/customers/{customer}/snapshots/{snapshot}';

const snapshotSchema: z.ZodType<SnapshotInfo> = z
  .object({
    id: z.string(),
    name: z.string().nullable(),
    createdAt: z.iso.datetime(),
    files: z.int(),
    folders: z.int(),
    links: z.int(),
    bytes: z.int().describe('Of the files'),
    storage: z
      .enum(['shared', 'objects'])
      .describe('Whether it shares blocks with the files, or keeps each content once'),
    skipped: z.int().describe('What no snapshot holds: pipes, sockets, devices, what is nested too deep'),
  })
  .meta({ id: 'Snapshot' });

const snapshotParams = z.strictObject({ snapshot: z.string() });

/** The kept states of a customer's files and skills. */
export function snapshotRoutes(_context: HttpContext): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: SNAPSHOTS,
      summary: 'List the snapshots of files and skills',
      scope: 'files',
      responses: {
        200: { description: 'Oldest first', schema: z.object({ items: z.array(snapshotSchema).readonly() }) },
      },
      handler: async ({ customer }) => ({ body: { items: await customer.snapshots.list() } }),
    }),
    defineRoute({
      method: 'POST',
      path: SNAPSHOTS,
      summary: 'Keep files and skills as they are',
      description:
        'Programs may run meanwhile: where blocks are shared each file is kept as it was at one moment, elsewhere as it was read.',
      scope: 'files',
      body: z.strictObject({ name: z.string().max(200).nullable().default(null) }).default({ name: null }),
      responses: { 201: { description: 'The snapshot', schema: snapshotSchema } },
      handler: async ({ customer, body }) => ({ status: 201, body: await customer.snapshots.create(body) }),
    }),
    defineRoute({
      method: 'POST',
      path: `${SNAPSHOT}/restore`,
      summary: 'Make files and skills exactly what a snapshot has',
      description: 'What came later is gone. Ends the idle sandbox of the customer; `busy` while a program runs.',
      scope: 'files',
      params: snapshotParams,
      responses: { 200: { description: 'The snapshot', schema: snapshotSchema } },
      handler: async ({ customer, params: { snapshot } }) => ({ body: await customer.snapshots.restore(snapshot) }),
    }),
    defineRoute({
      method: 'DELETE',
      path: SNAPSHOT,
      summary: 'Remove a snapshot',
      scope: 'files',
      params: snapshotParams,
      responses: { 204: { description: 'It is gone' } },
      handler: async ({ customer, params: { snapshot } }) => {
        await customer.snapshots.delete(snapshot);
        return {};
      },
    }),
  ];
}
