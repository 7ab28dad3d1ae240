import { z } from 'zod';
import { LANGUAGES } from '../../core/execution.ts';
import { STATES } from './execution.ts';
import { unpackedSchema } from './unpacked.ts';

const at = z.string().describe('ISO 8601, UTC');

export const sessionSummarySchema = z
  .object({
    sessionId: z.string(),
    startedAt: at.nullable(),
    writtenAt: at,
    state: z.enum(['open', 'closed', 'unreadable']),
    executions: z.int().describe('How many have started in it'),
    bytes: z.int(),
    problem: z.string().nullable().describe('Why it is unreadable'),
  })
  .meta({ id: 'SessionSummary' });

export const checkpointSchema = z
  .object({
    step: z.union([z.int(), z.string()]),
    lastTask: z.string().nullable(),
    context: z.unknown(),
  })
  .meta({ id: 'Checkpoint' });

export const sessionSchema = z
  .object({
    sessionId: z.string(),
    customer: z.string(),
    startedAt: at.nullable(),
    endedAt: at.nullable().describe('When it was closed; null while it is open'),
    checkpoint: z.object({ ...checkpointSchema.shape, at }).nullable(),
    stateFiles: z.array(z.string()),
    taskCount: z.int(),
    tasks: z
      .array(
        z.object({
          executionId: z.string(),
          description: z.string(),
          language: z.enum(LANGUAGES),
          code: z.string(),
          result: z.unknown(),
          output: z.string(),
          startedAt: at,
          status: z.enum(STATES),
          error: z.string().nullable(),
        }),
      )
      .describe('A page of the executions, oldest first; the last ones are the first page'),
    nextCursor: z.string().nullable().describe('Of the page with those before'),
  })
  .meta({ id: 'Session' });

export const resumedSessionSchema = z
  .object({
    sessionId: z.string(),
    interrupted: z.array(z.string()).describe('Executions that were cut off'),
    paused: z.array(z.string()).describe('Executions that wait for an approval'),
    checkpoint: checkpointSchema.nullable(),
    resumed: z.array(z.string()).describe('Executions that run again'),
  })
  .meta({ id: 'ResumedSession' });

export const importedSessionSchema = z
  .object({
    sessionId: z.string(),
    events: z.int(),
    executions: z.int(),
    from: z.object({ customer: z.string(), session: z.string(), exportedAt: at }),
    files: unpackedSchema.nullable(),
  })
  .meta({ id: 'ImportedSession' });

/** A line of a session's log, as docs/ARCHITECTURE.md describes it; later versions may write more. */
export const storedEventSchema = z
  .looseObject({ v: z.int(), seq: z.int().min(1), at, type: z.string() })
  .meta({ id: 'StoredEvent' });
