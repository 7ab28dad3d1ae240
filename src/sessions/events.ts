import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { LANGUAGES } from '../core/execution.ts';

/** The version that this code writes. A reader skips events of a later one. */
const VERSION = 1;

const count = z.int().nonnegative();
const milliseconds = z.number().nonnegative();
/** Any JSON. What JSON has no word for, such as undefined, is null, so that the field is there when it is read back. */
const json = z.unknown().default(null);

const envelope = {
  v: z.literal(VERSION),
  /** 1-based, without gaps. */
  seq: z.int().positive(),
  /** When the event was recorded, ISO 8601 in UTC. */
  at: z.iso.datetime(),
  /** The fields that were too large to keep: a text is cut to its beginning, anything else is null. */
  truncated: z.array(z.string()).readonly().optional(),
  /** Which owner of the customer wrote it, where several servers share the storage: later ones have larger numbers. */
  lease: z.int().positive().optional(),
};

const selectedTool = z.object({
  server: z.string(),
  tool: z.string(),
  score: z.number(),
  reasons: z.array(z.string()).readonly(),
});

const selection = z.object({
  mode: z.enum(['explicit', 'imports', 'lexical', 'hybrid', 'none']),
  withoutEmbeddings: z.string().optional(),
  considered: count,
  tools: z.array(selectedTool).readonly(),
  noMatch: z.object({ reason: z.string(), nearMisses: z.array(selectedTool).readonly() }).nullable(),
  hidden: z
    .array(z.object({ server: z.string(), reason: z.string(), tools: z.array(z.string()).readonly() }))
    .readonly()
    .optional(),
  budget: z.object({ maxTokens: count, tokens: count, leftOut: z.array(z.string()).readonly() }).optional(),
});

const programError = z.object({
  name: z.string(),
  message: z.string(),
  stack: z.string(),
  line: z.int().optional(),
  fields: z.record(z.string(), z.unknown()).nullable().optional(),
});

/** As the program gets it; logs of before hold only code and message. */
const toolError = z.object({
  code: z.string(),
  message: z.string(),
  retryable: z.boolean().optional(),
  details: z.record(z.string(), z.unknown()).optional(),
});

const executionRequest = z.object({
  /** Null: the program was made from the task. */
  code: z.string().nullable(),
  tools: z.array(z.string()).readonly().nullable(),
  timeoutMs: z.number().nullable(),
  typeCheck: z.boolean(),
  /** Those that were to be lower than what is configured. */
  limits: z
    .object({ toolCalls: count.optional(), outputBytes: count.optional(), valueBytes: count.optional() })
    .optional(),
});

const timing = z.object({
  selectMs: milliseconds,
  generateMs: milliseconds,
  acquireMs: milliseconds,
  runMs: milliseconds,
  totalMs: milliseconds,
});

const sandbox = z.object({
  id: z.string(),
  driver: z.string(),
  isolation: z.enum(['hardware', 'emulated', 'process']),
  boot: z.enum(['warm', 'pooled', 'restored', 'cold']),
  poolBypass: z.string().optional(),
});

const storedEvent = z.discriminatedUnion('type', [
  z.object({ ...envelope, type: z.literal('session.created'), sessionId: z.string(), customer: z.string() }),
  z.object({
    ...envelope,
    type: z.literal('execution.started'),
    executionId: z.string(),
    task: z.string().nullable(),
    description: z.string().optional(),
    language: z.enum(LANGUAGES).default('typescript'),
    /** The program as it runs: generated imports and the body. */
    program: z.string(),
    selection,
    planner: z.enum(['none', 'literal']),
    warnings: z.array(z.string()).readonly().optional(),
    /** What was asked for, so that it can be run again; undefined in logs of before. */
    request: executionRequest.optional(),
  }),
  z.object({
    ...envelope,
    type: z.literal('tool.called'),
    executionId: z.string(),
    /** Numbers the calls of one execution; the `tool.returned` with the same number answers. */
    call: count,
    server: z.string(),
    tool: z.string(),
    arguments: json,
  }),
  z.object({
    ...envelope,
    type: z.literal('tool.returned'),
    executionId: z.string(),
    call: count,
    ok: z.boolean(),
    ms: milliseconds,
    /** What the program was given; undefined for a failure. */
    value: z.unknown().optional(),
    error: toolError.optional(),
  }),
  /** The call waits, and the time of its program stands still, until somebody decides. */
  z.object({
    ...envelope,
    type: z.literal('approval.requested'),
    executionId: z.string(),
    call: count,
    approvalId: z.string(),
    server: z.string(),
    tool: z.string(),
    arguments: json,
  }),
  z.object({
    ...envelope,
    type: z.literal('approval.decided'),
    executionId: z.string(),
    call: count,
    approvalId: z.string(),
    approved: z.boolean(),
    /** Who decided, for people. */
    by: z.string(),
    reason: z.string().nullable(),
    /** Whether a program waited for it, so that the call may have left at once; default true. */
    waiting: z.boolean().optional(),
  }),
  /** The program of an execution that was cut off or paused runs again from its beginning; its output begins anew. */
  z.object({
    ...envelope,
    type: z.literal('execution.resumed'),
    executionId: z.string(),
    /** 2 for the first time that it runs again. */
    attempt: z.int().min(2),
    /** Whether calls that had returned are answered from this log. */
    replay: z.boolean(),
  }),
  z.object({
    ...envelope,
    type: z.literal('output'),
    executionId: z.string(),
    stream: z.enum(['stdout', 'stderr']),
    text: z.string(),
  }),
  z.object({
    ...envelope,
    type: z.literal('execution.finished'),
    executionId: z.string(),
    /** `interrupted`: the infrastructure failed, so the program has no outcome; `error` says how, its code in `fields`. */
    status: z.enum(['completed', 'failed', 'timed_out', 'killed', 'limit_exceeded', 'interrupted']),
    value: json,
    error: programError.nullable(),
    limit: z.enum(['time', 'memory', 'output']).nullable(),
    exitCode: z.int().nullable(),
    output: z.object({ stdoutBytes: count, stderrBytes: count, truncated: z.boolean() }),
    sandbox: sandbox.nullable(),
    timing: timing.nullable(),
  }),
  z.object({
    ...envelope,
    type: z.literal('checkpoint.set'),
    /** A number or the name of the step that was reached. */
    step: z.union([count, z.string()]),
    lastTask: z.string().nullable(),
    /** Whatever the customer needs to go on from here. */
    context: json,
  }),
  /** `interrupted`: the executions that were found cut off. */
  z.object({ ...envelope, type: z.literal('session.resumed'), interrupted: z.array(z.string()).readonly() }),
  z.object({ ...envelope, type: z.literal('session.closed') }),
]);

const TYPES: ReadonlySet<string> = new Set(storedEvent.options.map((option) => option.shape.type.value));
const anyVersion = z.object({ v: z.int().positive(), seq: z.int().positive(), type: z.string() });

/** One line of a session file. */
export type StoredEvent = z.infer<typeof storedEvent>;

/** What can be recorded; the log adds the version, the sequence number and the time. */
export type SessionEvent = EventOf<StoredEvent>;
type EventOf<Stored> = Stored extends unknown ? Omit<Stored, 'v' | 'seq' | 'at' | 'truncated' | 'lease'> : never;

/** What a line turned out to be. `unknown`: written by a later version of this code. */
export type DecodedEvent =
  | { readonly kind: 'event'; readonly seq: number; readonly event: StoredEvent }
  | { readonly kind: 'unknown'; readonly seq: number };

/** An event as it goes to disk. Throws `internal` for one that could not be read back. */
export function stampEvent(
  event: SessionEvent,
  seq: number,
  at: Date,
  truncated: readonly string[],
  lease?: number,
): StoredEvent {
  const marked = { ...(truncated.length > 0 ? { truncated } : {}), ...(lease === undefined ? {} : { lease }) };
  const parsed = storedEvent.safeParse({ v: VERSION, seq, at: at.toISOString(), ...event, ...marked });
  if (parsed.success) return parsed.data;
  throw new WorkcellError('internal', `Cannot record a ${event.type} event: ${firstIssue(parsed.error)}`);
}

/** Reads back one line. Throws `storage_failed`, beginning with `subject`, when it is not an event. */
export function decodeEvent(value: unknown, subject: string): DecodedEvent {
  const line = anyVersion.safeParse(value);
  if (!line.success) throw corrupt(subject, line.error);
  const { v, seq, type } = line.data;
  if (v > VERSION || !TYPES.has(type)) return { kind: 'unknown', seq };
  const parsed = storedEvent.safeParse(value);
  if (!parsed.success) throw corrupt(subject, parsed.error);
  return { kind: 'event', seq, event: parsed.data };
}

function corrupt(subject: string, error: z.ZodError): WorkcellError {
  return new WorkcellError('storage_failed', `${subject} is not a session event: ${firstIssue(error)}`);
}

function firstIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  return issue === undefined ? 'it is not valid' : `${issue.path.join('.') || 'the line'}: ${issue.message}`;
}
