import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../core/errors.ts';
import type { Problem } from '../../core/problem.ts';

/** The body of a failure. */
export const problemSchema: z.ZodType<Problem> = z
  .object({
    type: z.string().describe('Where the code is explained'),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What was asked for, why it failed, what to do'),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    requestId: z.string(),
    details: z.record(z.string(), z.unknown()).exactOptional(),
    retryable: z.boolean().describe('Whether the same request may succeed later'),
  })
  .meta({ id: 'Problem' });
