import { z } from 'zod';
import { LANGUAGES } from '../../core/execution.ts';
import { selectionSchema } from './selection.ts';

const at = z.string().describe('ISO 8601, UTC');
const language = z.enum(LANGUAGES);
const json = z.unknown();
const callError = z.object({ code: z.string(), message: z.string() });
const toolFields = { server: z.string(), tool: z.string() };
const callFields = { call: z.int().describe('The number of the call in its execution'), ...toolFields };
const returnedFields = { ...toolFields, ms: z.number(), ok: z.boolean(), error: callError.exactOptional() };

export const STATES = [
  'running',
  'paused',
  'completed',
  'failed',
  'timed_out',
  'killed',
  'limit_exceeded',
  'interrupted',
] as const;

export const resultSchema = z
  .object({
    executionId: z.string(),
    customer: z.string(),
    sessionId: z.string(),
    status: z
      .enum(['completed', 'failed', 'timed_out', 'killed', 'limit_exceeded', 'interrupted'])
      .describe('`interrupted`: what is under the program failed; `error` says how'),
    value: json.describe('What the program returned'),
    stdout: z.string(),
    stderr: z.string(),
    output: z.object({ stdoutBytes: z.int(), stderrBytes: z.int(), truncated: z.boolean() }),
    error: z
      .object({
        name: z.string(),
        message: z.string(),
        stack: z.string(),
        line: z.int().exactOptional(),
        fields: z.record(z.string(), json).exactOptional(),
      })
      .nullable(),
    limit: z.enum(['time', 'memory', 'output']).nullable(),
    exitCode: z.int().nullable(),
    selection: selectionSchema,
    planner: z.enum(['none', 'literal']),
    language,
    program: z.string().describe('As it ran: generated imports and the body'),
    warnings: z.array(z.string()),
    sandbox: z
      .object({
        id: z.string(),
        driver: z.string(),
        isolation: z.enum(['hardware', 'emulated', 'process']),
        boot: z.enum(['warm', 'pooled', 'restored', 'cold']),
        poolBypass: z.string().exactOptional(),
      })
      .nullable(),
    calls: z.array(z.object({ seq: z.int(), ...returnedFields })),
    timing: z
      .object({
        selectMs: z.number(),
        generateMs: z.number(),
        acquireMs: z.number(),
        runMs: z.number(),
        totalMs: z.number(),
      })
      .nullable(),
  })
  .meta({ id: 'RecordedResult' });

export const approvalSchema = z
  .object({
    approvalId: z.string(),
    executionId: z.string(),
    sessionId: z.string(),
    ...callFields,
    arguments: json,
    requestedAt: at,
  })
  .meta({ id: 'PendingApproval' });

const envelope = { seq: z.int().min(1).describe('From 1, without gaps'), at };

export const historyEventSchema = z
  .discriminatedUnion('type', [
    z.object({
      ...envelope,
      type: z.literal('started'),
      executionId: z.string(),
      sessionId: z.string(),
      language,
      task: z.string().nullable(),
    }),
    z.object({ ...envelope, type: z.literal('stdout'), text: z.string() }),
    z.object({ ...envelope, type: z.literal('stderr'), text: z.string() }),
    z.object({ ...envelope, type: z.literal('tool.called'), ...callFields }),
    z.object({ ...envelope, type: z.literal('tool.returned'), call: z.int(), ...returnedFields }),
    z.object({
      ...envelope,
      type: z.literal('approval.required'),
      approvalId: z.string(),
      ...callFields,
      arguments: json,
    }),
    z.object({
      ...envelope,
      type: z.literal('approval.decided'),
      approvalId: z.string(),
      call: z.int(),
      approved: z.boolean(),
      by: z.string(),
      reason: z.string().nullable(),
    }),
    z.object({ ...envelope, type: z.literal('resumed'), attempt: z.int().min(2) }),
    z.object({ ...envelope, type: z.literal('finished'), result: resultSchema }),
  ])
  .meta({ id: 'HistoryEvent' });

export const listedExecutionSchema = z
  .object({
    executionId: z.string(),
    sessionId: z.string(),
    startedAt: at,
    language,
    task: z.string().nullable(),
    state: z.enum(STATES),
  })
  .meta({ id: 'ListedExecution' });

export const summarySchema = z
  .object({
    executionId: z.string(),
    sessionId: z.string(),
    state: z.enum(STATES),
    lastSeq: z.int().min(0).describe('Of the last event that there is'),
    approvals: z.array(approvalSchema).describe('Those that it waits for'),
    result: resultSchema.nullable(),
  })
  .meta({ id: 'ExecutionSummary' });
