/**
 * JSON-RPC of Microsandbox 0.1 and 0.2, as data.
 *
 * Source: superradcompany/microsandbox at the tag `microsandbox-v0.2.6`: `microsandbox-server/lib/{payload,handler,error}.rs`
 * and `microsandbox-portal/lib/{payload,handler}.rs`. Where that code and its documentation differ, this follows the code.
 * Lists may also be null, and `namespace` may be absent, as in the unreleased versions after it.
 */
import { z } from 'zod';

export const RPC_PATH = '/api/v1/rpc';
export const HEALTH_PATH = '/api/v1/health';

/** Bytes of a request; the limit of the original's framework. */
export const MAX_REQUEST_BYTES: number = 2 * 1024 * 1024;

export const DEFAULT_NAMESPACE = 'default';
/** In place of a namespace: all of them. */
export const ANY_NAMESPACE = '*';

/** The numbers of JSON-RPC 2.0, and those that the original documents. */
export const RPC_ERROR = {
  parse: -32700,
  invalidRequest: -32600,
  unknownMethod: -32601,
  invalidParams: -32602,
  server: -32000,
  validation: -32001,
  notFound: -32003,
} as const;

/** `{"error", "code"}`: how the original refuses credentials. */
export const FLAT_ERROR = {
  invalidCredentials: { error: 'Invalid credentials', code: 1001 },
  invalidToken: { error: 'Invalid or expired token', code: 1004 },
  accessDenied: { error: 'Access denied', code: 3001 },
} as const;

const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/,
    'must be 1 to 63 letters, digits, "_" or "-", the first a letter or digit',
  );
const strings = z
  .array(z.string())
  .nullish()
  .transform((list) => list ?? []);
const text = z.string().nullish();
/** As long as a timer can be: 24 days. */
const seconds = z.number().nonnegative().max(2_147_483).nullish();
const namespace = name.nullish();

export const rpcRequestSchema = z.object({
  jsonrpc: z.unknown(),
  method: z.string(),
  params: z.unknown().optional(),
  id: z.unknown().optional(),
});

export const sandboxConfigSchema = z.object({
  image: text,
  /** MiB. */
  memory: z.int().positive().nullish(),
  cpus: z.int().positive().max(255).nullish(),
  /** `HOST:GUEST` each, cut at the first colon. */
  volumes: strings,
  ports: strings,
  /** `KEY=value` each. */
  envs: strings,
  depends_on: strings,
  workdir: text,
  shell: text,
  scripts: z
    .record(z.string(), z.string())
    .nullish()
    .transform((scripts) => scripts ?? {}),
  exec: text,
});

export type SandboxConfig = z.output<typeof sandboxConfigSchema>;

export const startParamsSchema = z.object({ sandbox: name, namespace, config: sandboxConfigSchema.nullish() });
export const stopParamsSchema = z.object({ sandbox: name, namespace });
export const metricsParamsSchema = z.object({
  sandbox: name.nullish(),
  namespace: z.union([z.literal(ANY_NAMESPACE), name]).nullish(),
});
export const replParamsSchema = z.object({
  sandbox: name,
  namespace,
  language: z.string(),
  code: z.string(),
  timeout: seconds,
});
export const commandParamsSchema = z.object({
  sandbox: name,
  namespace,
  command: z.string().min(1),
  args: strings,
  timeout: seconds,
});

const lineSchema = z.object({ stream: z.enum(['stdout', 'stderr']), text: z.string() });

/** One line of output, without its end. */
export type OutputLine = z.infer<typeof lineSchema>;

export interface ReplResult {
  readonly status: 'success';
  /** As it was asked for. */
  readonly language: string;
  readonly output: readonly OutputLine[];
}

/** `output` is a string in the original's documentation and a list of lines in its code. */
export const commandResultSchema = z.object({
  exit_code: z.number(),
  output: z.union([z.string(), z.array(lineSchema)]),
});

export interface CommandResult {
  readonly command: string;
  readonly args: readonly string[];
  readonly exit_code: number;
  readonly success: boolean;
  readonly output: readonly OutputLine[];
}

export interface SandboxMetrics {
  readonly namespace: string;
  readonly name: string;
  readonly running: boolean;
  /** Percent of one CPU. */
  readonly cpu_usage: number | null;
  /** MiB. */
  readonly memory_usage: number | null;
  /** Bytes. */
  readonly disk_usage: number | null;
}

export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

export type RpcResponse = { readonly jsonrpc: '2.0'; readonly id?: unknown } & (
  | { readonly result: unknown }
  | { readonly error: RpcError }
);

/** What a client may be answered: JSON-RPC, or the flat form for whatever the original server itself refuses. */
export const rpcAnswerSchema = z.object({
  result: z.unknown().optional(),
  error: z
    .union([z.string(), z.object({ code: z.number(), message: z.string(), data: z.unknown().optional() })])
    .nullish(),
  code: z.number().nullish(),
});
