import { z } from 'zod';
import { assertScope } from '../../core/principal.ts';
import { Secret } from '../../util/secret.ts';
import type { Customer } from '../../workcell/customer.ts';
import { defineRoute, type HttpContext, type Route } from '../define-route.ts';
import { endWhenStalled } from '../end-when-stalled.ts';
import { decodeCursor, encodeCursor, pageFields, pageOf, pageQuery } from '../schemas/page.ts';
import { queryFlag } from '../schemas/query-flag.ts';
import {
  checkpointSchema,
  importedSessionSchema,
  resumedSessionSchema,
  sessionSchema,
  sessionSummarySchema,
  storedEventSchema,
} from '../schemas/session.ts';

const NDJSON = 'application/x-ndjson';
const GZIP = 'application/gzip';
const BYTES = 'application/octet-stream';
const PASSPHRASE = 'x-passphrase';
const params = z.strictObject({ sessionId: z.string() });
const made = z.object({ sessionId: z.string() });
const checkpointBody = z.strictObject({
  step: checkpointSchema.shape.step,
  lastTask: z.string().nullable().optional(),
  context: z.unknown().optional().describe('JSON; programs find it as their checkpoint'),
});

const withFiles = queryFlag(true).describe(
  'Whether the files and skills of the workspace go with it; that needs the scope `files`, too',
);
const passphraseHeader = z.object({
  [PASSPHRASE]: z.string().min(1).optional().describe('Of an archive that is encrypted'),
});

type View = Awaited<ReturnType<Customer['session']>>;

/** What programs did, in the order in which they did it; a session goes on for as long as one likes. */
export function sessionRoutes({ cell }: HttpContext): readonly Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/sessions',
      summary: 'Make a session; an execution makes the one that it names, too',
      scope: 'sessions',
      makesCustomer: true,
      body: z.strictObject({ sessionId: z.string().optional().describe('Default: a new one') }).default({}),
      responses: { 201: { description: 'It is made', schema: made, headers: { Location: 'Its path' } } },
      handler: async ({ customer, body }) => {
        const sessionId = await customer.createSession(body.sessionId);
        const location = `/customers/${customer.id}/sessions/${sessionId}`;
        return { status: 201, headers: { location }, body: { sessionId } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/sessions',
      summary: 'List the sessions',
      scope: 'read',
      query: pageQuery,
      responses: { 200: { description: 'The latest first', schema: pageOf(sessionSummarySchema) } },
      handler: async ({ customer, query: { limit, cursor } }) => {
        const before = cursor === undefined ? undefined : decodeCursor(cursor);
        const { sessions: items, next } = await customer.describeSessions({ limit, before });
        return { body: { items, nextCursor: next === null ? null : encodeCursor(next) } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/sessions/{sessionId}',
      summary: 'Look at a session: its checkpoint, and a page of what was done in it',
      scope: 'read',
      params,
      query: z.strictObject(pageFields),
      responses: { 200: { description: 'The session', schema: sessionSchema } },
      handler: async ({ customer, params: { sessionId }, query: { limit, cursor } }) => {
        const before = cursor === undefined ? undefined : decodeCursor(cursor);
        return { body: toSession(await customer.session(sessionId, { limit, before })) };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/sessions/{sessionId}/log',
      summary: 'Read all that is recorded in a session',
      scope: 'sessions',
      params,
      query: z.strictObject({
        after: z.coerce.number().int().min(0).default(0).describe('`seq` of the last event that is known'),
      }),
      responses: { 200: { description: 'The events, a line each', types: { [NDJSON]: storedEventSchema } } },
      handler: async ({ customer, params: { sessionId }, query: { after } }) => {
        const events = await customer.readSession(sessionId, { after });
        return { type: NDJSON, body: endWhenStalled(linesOf(events)) };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/sessions/{sessionId}/checkpoint',
      summary: 'Set what programs of the session find as its checkpoint',
      scope: 'sessions',
      params,
      body: checkpointBody,
      responses: { 204: { description: 'It is set' } },
      handler: async ({ customer, params: { sessionId }, body }) => {
        await customer.setCheckpoint(sessionId, body);
        return {};
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/sessions/{sessionId}/resume',
      summary: 'Open a session for more, and tell what in it was cut off',
      scope: 'sessions',
      params,
      body: z
        .strictObject({
          replay: z
            .boolean()
            .default(false)
            .describe('Runs what was cut off again; calls of tools that had returned are answered from the log'),
        })
        .default({ replay: false }),
      responses: { 200: { description: 'It is open', schema: resumedSessionSchema } },
      handler: async ({ customer, params, body, principal }) => {
        if (body.replay) assertScope(principal, 'execute');
        const { sessionId, interrupted, paused, checkpoint, resumed } = await customer.resumeSession(
          params.sessionId,
          body,
        );
        return { body: { sessionId, interrupted, paused, checkpoint, resumed: resumed.map(({ id }) => id) } };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/sessions/{sessionId}/close',
      summary: 'Close a session until it is resumed',
      scope: 'sessions',
      params,
      responses: { 204: { description: 'It is closed' } },
      handler: async ({ customer, params: { sessionId } }) => {
        await customer.closeSession(sessionId);
        return {};
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/sessions/{sessionId}/export',
      summary: 'Download a session as one file, to import it elsewhere',
      scope: 'sessions',
      params,
      query: z.strictObject({
        files: withFiles,
        plain: queryFlag(false).describe('Lets a session that is encrypted here be exported without a passphrase'),
      }),
      headers: passphraseHeader,
      responses: {
        200: { description: 'The archive; encrypted with a passphrase', types: { [GZIP]: null, [BYTES]: null } },
      },
      handler: async ({ customer, params: { sessionId }, query, headers, principal }) => {
        if (query.files) assertScope(principal, 'files');
        const passphrase = secretOf(headers[PASSPHRASE]);
        const archive = await customer.exportSession(sessionId, { ...query, passphrase });
        const name = passphrase === undefined ? `${sessionId}.tar.gz` : `${sessionId}.sealed`;
        return {
          type: passphrase === undefined ? GZIP : BYTES,
          headers: { 'content-disposition': `attachment; filename="${name}"` },
          body: endWhenStalled(archive),
        };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/sessions/import',
      summary: 'Make a session of an archive, with all that it holds or not at all',
      scope: 'sessions',
      makesCustomer: true,
      query: z.strictObject({
        as: z.string().optional().describe('The id that it gets. Default: the one that it had'),
        files: withFiles,
        overwrite: queryFlag(false).describe('Whether files of the same names are replaced'),
      }),
      headers: passphraseHeader,
      body: { types: [GZIP, BYTES], maxBytes: cell.loaded.config.workspace.maxArchiveBytes },
      responses: {
        201: { description: 'It is made', schema: importedSessionSchema, headers: { Location: 'Its path' } },
      },
      handler: async ({ customer, query, headers, body, principal }) => {
        if (query.files) assertScope(principal, 'files');
        const imported = await customer.importSession(body, { ...query, passphrase: secretOf(headers[PASSPHRASE]) });
        const location = `/customers/${customer.id}/sessions/${imported.sessionId}`;
        return { status: 201, headers: { location }, body: imported };
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/customers/{customer}/sessions/{sessionId}',
      summary: 'Delete a session; its executions stay known, and their history is gone',
      scope: 'sessions',
      params,
      responses: { 204: { description: 'It is deleted' } },
      handler: async ({ customer, params: { sessionId } }) => {
        await customer.deleteSession(sessionId);
        return {};
      },
    }),
  ];
}

function secretOf(text: string | undefined): Secret | undefined {
  return text === undefined ? undefined : new Secret(text);
}

async function* linesOf(events: AsyncIterable<unknown>): AsyncGenerator<Buffer> {
  for await (const event of events) yield Buffer.from(`${JSON.stringify(event)}\n`);
}

/** In the spelling of this API. */
function toSession({ checkpoint, tasks, ...view }: View): z.input<typeof sessionSchema> {
  return {
    sessionId: view.session_id,
    customer: view.customer_uid,
    startedAt: view.started_at,
    endedAt: view.ended_at,
    checkpoint:
      checkpoint === null
        ? null
        : {
            step: checkpoint.step,
            lastTask: checkpoint.last_task,
            context: checkpoint.context,
            at: checkpoint.timestamp,
          },
    stateFiles: [...view.state_files],
    taskCount: view.task_count,
    tasks: tasks.map(({ task_id: executionId, timestamp: startedAt, ...task }) => ({
      executionId,
      startedAt,
      ...task,
    })),
    nextCursor: view.older_before === null ? null : encodeCursor(view.older_before),
  };
}
