import { z } from 'zod';
import type { HistoryEvent, RecordedResult } from '../../core/execution.ts';
import { LANGUAGES } from '../../core/execution.ts';
import { parseExecutionId, parseSessionId } from '../../core/ids.ts';
import type { Customer } from '../../workcell/customer.ts';
import type { ExecutionPlace } from '../../workcell/list-executions.ts';
import { type Answer, defineRoute, type HttpContext, type Route } from '../define-route.ts';
import { eventStream, isStreamType, type StreamType } from '../event-stream.ts';
import { historyEventSchema, listedExecutionSchema, resultSchema, summarySchema } from '../schemas/execution.ts';
import { decodeCursor, encodeCursor, pageOf, pageQuery } from '../schemas/page.ts';
import { queryFlag } from '../schemas/query-flag.ts';

const JSON_BYTES = 1024 * 1024;
const MAX_TIMEOUT_MS = 24 * 60 * 60_000;

const params = z.strictObject({ executionId: z.string() });
const lowered = (what: string) =>
  z.int().min(0).optional().describe(`${what}; the lower of this and what is configured`);

const executeBody = z
  .strictObject({
    code: z.string().optional().describe('The program'),
    task: z.string().optional().describe('What is to be done; alone, it becomes a call of the tool that fits best'),
    language: z.enum(LANGUAGES).optional().describe('Of `code`; default typescript'),
    tools: z.array(z.string()).optional().describe('`server.tool` each: exactly these may be called'),
    session: z.string().optional().describe('To record it in; made when there is none of that id. Default: a new one'),
    executionId: z.string().optional().describe('The same id again is the same execution, never a second run'),
    timeoutMs: z.int().positive().max(MAX_TIMEOUT_MS).optional().describe('Of running'),
    typeCheck: z.boolean().optional().describe('Whether wrong calls of tools are answered before anything runs'),
    limits: z
      .strictObject({
        toolCalls: lowered('Calls of tools'),
        outputBytes: lowered('Bytes that are kept of stdout and stderr each'),
        valueBytes: lowered('Bytes of what the program returns, as JSON'),
      })
      .optional(),
  })
  .refine(({ code, task }) => code !== undefined || task !== undefined, { error: 'Give code, a task, or both' })
  .meta({ id: 'ExecuteRequest' });

const STREAMS = { 'application/x-ndjson': historyEventSchema, 'text/event-stream': historyEventSchema };
const PLACE = { Location: 'Path of the execution', 'X-Execution-Id': 'Its id' };
const PREFER = z.object({
  prefer: z.string().optional().describe('`respond-async`: the answer does not wait for the end (RFC 7240)'),
});

const answers = {
  200: {
    description:
      'The outcome; or its events, each as soon as it is on disk. A stream without `finished` at its end broke off',
    schema: resultSchema,
    types: STREAMS,
    headers: PLACE,
  },
  202: { description: 'It waits for an approval, or was not waited for', schema: summarySchema, headers: PLACE },
} as const;

/** Programs of a customer. A client that goes away ends none: it may come back for the rest. */
export function executionRoutes({ cell }: HttpContext): readonly Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/executions',
      summary: 'Run a program',
      scope: 'execute',
      makesCustomer: true,
      headers: PREFER,
      body: executeBody,
      bodyBytes: JSON_BYTES + 2 * cell.loaded.config.limits.codeBytes,
      responses: answers,
      handler: async ({ customer, body, ...how }) => {
        const { requestId, trace } = how;
        const { id } = await customer.start({ ...body, requestId, trace });
        return await answerOf(customer, id, how);
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/executions',
      summary: 'List the executions',
      scope: 'read',
      query: pageQuery,
      responses: {
        200: {
          description: 'Those of the latest session first, and in each the latest first',
          schema: pageOf(listedExecutionSchema),
        },
      },
      handler: async ({ customer, query: { limit, cursor } }) => {
        const before = cursor === undefined ? undefined : placeOf(cursor);
        const { executions: items, hasMore } = await customer.listExecutions({ limit, before });
        const last = items.at(-1);
        const nextCursor = hasMore && last !== undefined ? encodeCursor(`${last.sessionId}/${last.executionId}`) : null;
        return { body: { items, nextCursor } };
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/executions/{executionId}',
      summary: 'Look at an execution, or take up its events again',
      description:
        'As JSON it is a summary, and `after` and `follow` mean nothing. Of one that waits for its turn there is nothing to tell yet: the answer comes when it has started.',
      scope: 'read',
      params,
      query: z.strictObject({
        after: z.coerce.number().int().min(0).default(0).describe('`seq` of the last event that is known'),
        follow: queryFlag(true).describe('Whether to wait for what is still to come'),
      }),
      headers: z.object({
        'last-event-id': z.coerce.number().int().min(0).optional().describe('As `after`, for an EventSource'),
      }),
      responses: {
        200: { description: 'The summary, or the events', schema: summarySchema, types: STREAMS },
        410: { description: 'Its history was removed' },
      },
      handler: async ({ customer, params: { executionId }, query, headers, accept, signal }) => {
        // Also tells what there is none of before a stream is begun.
        const summary = await customer.executionSummary(executionId);
        if (!isStreamType(accept)) return { body: summary };
        const after = headers['last-event-id'] ?? query.after;
        const events = customer.watch(executionId, { after, follow: query.follow, signal });
        return streamOf(events, accept);
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/executions/{executionId}/resume',
      summary: 'Run a program on that was cut off',
      scope: 'execute',
      params,
      headers: PREFER,
      body: z
        .strictObject({
          replay: z
            .boolean()
            .default(true)
            .describe('Whether the calls of tools that had returned are answered from the log, instead of made again'),
        })
        .default({ replay: true }),
      responses: answers,
      handler: async ({ customer, params: { executionId }, body, ...how }) => {
        await customer.resumeExecution(executionId, body);
        return await answerOf(customer, executionId, how);
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/customers/{customer}/executions/{executionId}',
      summary: 'End a program; one that has ended stays as it is',
      description:
        'One that waits for its turn is never started: whoever asked for it gets the problem `cancelled`, and its id is free again.',
      scope: 'execute',
      params,
      responses: { 204: { description: 'It does not run any more' } },
      handler: async ({ customer, params: { executionId } }) => {
        await customer.cancel(executionId);
        return {};
      },
    }),
  ];
}

function placeOf(cursor: string): ExecutionPlace {
  const [session, execution] = decodeCursor(cursor).split('/');
  return { sessionId: parseSessionId(session), executionId: parseExecutionId(execution) };
}

interface HowToAnswer {
  readonly accept: string;
  readonly headers: z.output<typeof PREFER>;
  readonly signal: AbortSignal;
}

async function answerOf(customer: Customer, id: string, { accept, headers, signal }: HowToAnswer): Promise<Answer> {
  const place = {
    location: `/customers/${customer.id}/executions/${id}`,
    'x-execution-id': id,
    vary: 'accept, prefer',
  };
  if (isStreamType(accept)) {
    const answer = streamOf(customer.watch(id, { follow: true, signal }), accept);
    return { ...answer, headers: { ...answer.headers, ...place } };
  }
  if (isAsync(headers.prefer)) {
    const applied = { ...place, 'preference-applied': 'respond-async' };
    return { status: 202, headers: applied, body: await customer.executionSummary(id) };
  }
  const result = await outcomeOf(customer, id, signal);
  if (result === undefined) return { status: 202, headers: place, body: await customer.executionSummary(id) };
  return { status: 200, headers: place, body: result };
}

/** What became of an execution; undefined for one that does nothing but wait for an approval. */
async function outcomeOf(customer: Customer, id: string, gone: AbortSignal): Promise<RecordedResult | undefined> {
  const decided = new AbortController();
  const signal = AbortSignal.any([gone, decided.signal]);
  const paused = customer.whenPaused(id, signal).then(() => undefined);
  // Whichever of both comes first ends the other.
  paused.catch(() => {});
  try {
    return await Promise.race([resultOf(customer.watch(id, { follow: true, signal })), paused]);
  } finally {
    decided.abort();
  }
}

async function resultOf(events: AsyncIterable<HistoryEvent>): Promise<RecordedResult | undefined> {
  let result: RecordedResult | undefined;
  for await (const event of events) {
    if (event.type === 'finished') result = event.result;
    if (event.type === 'resumed') result = undefined;
  }
  return result;
}

function streamOf(events: AsyncIterable<HistoryEvent>, type: StreamType): Answer {
  // Proxies must hand on what comes as it comes.
  const headers = { 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
  return { body: eventStream({ events, type }), type, headers, headersAtOnce: true };
}

function isAsync(prefer = ''): boolean {
  return prefer.split(',').some((each) => each.split(';')[0]?.trim().toLowerCase() === 'respond-async');
}
