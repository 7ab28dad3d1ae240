import { z } from 'zod';
import type { RunnerFrame } from '../protocol/runner-frames.ts';

const count = z.number().nonnegative();

/** The guest is not trusted: whatever does not look like this is a violation of the protocol. */
export const runnerFrameSchema: z.ZodType<RunnerFrame> = z.discriminatedUnion('t', [
  z.object({ t: z.literal('hello'), version: z.number() }),
  z.object({ t: z.literal('started'), run: z.string() }),
  z.object({ t: z.literal('out'), run: z.string(), stream: z.enum(['stdout', 'stderr']), text: z.string() }),
  z.object({
    t: z.literal('call'),
    run: z.string(),
    call: z.number(),
    server: z.string().max(256),
    tool: z.string().max(256),
    input: z.unknown(),
  }),
  z.object({
    t: z.literal('checkpoint'),
    run: z.string(),
    call: z.number(),
    step: z.unknown(),
    context: z.unknown(),
  }),
  z.object({ t: z.literal('cancel'), run: z.string(), call: z.number() }),
  z.object({
    t: z.literal('done'),
    run: z.string(),
    end: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('value'), value: z.unknown() }),
      z.object({
        kind: z.literal('error'),
        error: z.object({
          name: z.string(),
          message: z.string(),
          stack: z.string(),
          line: z.int().positive().exactOptional(),
          fields: z.record(z.string(), z.unknown()).exactOptional(),
        }),
      }),
      z.object({
        kind: z.literal('exit'),
        code: z.number().nullable(),
        signal: z.string().nullable(),
        outOfMemory: z.boolean(),
      }),
    ]),
    usage: z.object({ stdoutBytes: count, stderrBytes: count, ms: count }),
  }),
]);
