import { z } from 'zod';
import { isShortName, parseCustomerId } from '../core/ids.ts';
import { pythonPackage } from '../core/python-package.ts';
import { serverNameProblem } from '../core/server-name.ts';
import { customerValuesIn } from '../util/customer-value.ts';
import { DRIVERS, EMBEDDING_MODES, LOG_LEVELS, SANDBOX_PROTOCOLS } from './config.ts';
import {
  approvalPolicy,
  choice,
  destination,
  duration,
  key,
  secret,
  share,
  size,
  switchValue,
  text,
  url,
  whole,
} from './values.ts';

const EXPECTS_KEYS = 'must hold keys and values';

const quotas = {
  executions: whole(0, 1_000_000).optional(),
  executionsPerMinute: whole(0, 1_000_000).optional(),
  cpuSecondsPerDay: whole(0, 1_000_000_000).optional(),
  disk: size.optional(),
};

const mcpServer = section({
  command: text.optional(),
  args: z.array(text.check(checkNoCredential)).optional(),
  env: z.record(z.string(), secret).optional(),
  cwd: text.optional(),
  url: url.optional(),
  headers: z.record(z.string(), secret).optional(),
  timeout: duration,
  allowedTools: z.array(text).optional(),
  excludeTools: z.array(text).optional(),
  perCustomer: switchValue,
  quarantine: switchValue,
  requireApproval: approvalPolicy,
  idempotencyKey: switchValue,
})
  .refine(...rule('needs "command" (stdio) or "url" (streamable HTTP), and not both', hasOneTransport))
  .refine(...rule('has "url", with which "args", "env" and "cwd" mean nothing', hasNoStdioKeys))
  .refine(...rule('has "command", with which "headers" mean nothing', hasNoHttpKeys));

/**
 * The language of `config.yaml`, and of the values that the environment and flags give: strict, and without defaults,
 * which are a layer of their own.
 */
export const fileSchema = section({
  paths: section({ workspaces: text, servers: text, skills: text, cache: text, server: text.optional() }),
  mcpServers: z
    .record(z.string().check(checkServerName), mcpServer, { error: EXPECTS_KEYS })
    .check(checkPythonPackages),
  sandbox: section({
    driver: choice(DRIVERS),
    url: url.optional(),
    apiKey: secret.optional(),
    image: text,
    images: z.record(z.string(), text, { error: EXPECTS_KEYS }),
    protocol: choice(SANDBOX_PROTOCOLS),
    isolation: choice(['hardware', 'emulated', 'process']),
    memory: size,
    cpus: whole(1, 1024),
    bootTimeout: duration,
    idleTimeout: duration,
    template: switchValue,
    pool: whole(0, 1000),
    memoryCeiling: size.optional(),
    processes: whole(1, 1_000_000),
    descriptors: whole(16, 1_000_000),
    network: section({ allow: z.array(destination) }),
  }),
  workspace: section({
    capacity: size.optional(),
    inodes: whole(16, 2_000_000_000).optional(),
    maxFile: size,
    maxArchive: size,
    maxArchiveFiles: whole(1, 10_000_000),
    maxSnapshots: whole(0, 10_000),
    shared: switchValue,
    lease: duration,
  }),
  sessions: section({
    maxSize: size,
    retention: duration.optional(),
    encryptionKey: key.optional(),
    oldKeys: z.array(key),
  }),
  server: section({
    host: text,
    port: whole(0, 65_535),
    hosts: z.array(text),
    apiKey: secret.optional(),
    drain: duration,
    maxExecutions: whole(1, 100_000),
    maxQueued: whole(0, 1_000_000),
    queueTimeout: duration,
    requestsPerSecond: whole(1, 1_000_000),
    failedKeysPerMinute: whole(1, 1_000_000),
  }),
  tools: section({ observed: switchValue }),
  selector: section({
    limit: whole(1, 1000),
    threshold: share.optional(),
    usage: switchValue,
    embeddings: section({ mode: choice(EMBEDDING_MODES), offline: switchValue, modelPath: text.optional() }),
  }),
  quotas: section({
    default: section(quotas),
    organisations: z.record(z.string().check(checkName('an organisation', isShortName)), section(quotas), {
      error: EXPECTS_KEYS,
    }),
    customers: z.record(z.string().check(checkName('a customer', isCustomerId)), section(quotas), {
      error: EXPECTS_KEYS,
    }),
  }),
  limits: section({ timeout: duration, output: size, toolCalls: whole(0, 1_000_000), code: size, value: size }),
  approvals: section({ hold: duration, expire: duration }),
  log: section({ level: choice(LOG_LEVELS) }),
});

export type FileConfig = z.output<typeof fileSchema>;

/** Every key that a configuration can set, dotted; `*` stands for the name of an MCP server. */
export function configKeys(): readonly string[] {
  return keysBelow(fileSchema, '');
}

/** The keys that are valid directly below `path`. */
export function keysAt(path: readonly PropertyKey[]): readonly string[] {
  let schema: unknown = fileSchema;
  for (const key of path) schema = childOf(schema, key);
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function keysBelow(schema: unknown, prefix: string): string[] {
  if (schema instanceof z.ZodObject) {
    return Object.entries(schema.shape).flatMap(([key, child]) =>
      keysBelow(child, prefix === '' ? key : `${prefix}.${key}`),
    );
  }
  if (schema instanceof z.ZodRecord && schema.valueType instanceof z.ZodObject) {
    return keysBelow(schema.valueType, `${prefix}.*`);
  }
  return [prefix];
}

function childOf(schema: unknown, key: PropertyKey): unknown {
  if (schema instanceof z.ZodObject) return schema.shape[String(key)];
  return schema instanceof z.ZodRecord ? schema.valueType : undefined;
}

function section<Shape extends z.ZodRawShape>(shape: Shape): ReturnType<typeof z.strictObject<Shape>> {
  return z.strictObject(shape, { error: EXPECTS_KEYS });
}

function checkServerName(payload: z.core.ParsePayload<string>): void {
  const message = serverNameProblem(payload.value);
  if (message !== undefined) payload.issues.push({ code: 'custom', input: payload.value, message });
}

function checkName(what: string, isName: (name: string) => boolean): (payload: z.core.ParsePayload<string>) => void {
  return (payload) => {
    if (isName(payload.value)) return;
    payload.issues.push({ code: 'custom', input: payload.value, message: `is not the name of ${what}` });
  };
}

function isCustomerId(id: string): boolean {
  try {
    parseCustomerId(id);
    return true;
  } catch {
    return false;
  }
}

/** Other users of the machine can see the arguments of a process. */
function checkNoCredential(payload: z.core.ParsePayload<string>): void {
  if (!customerValuesIn(payload.value).some(({ kind }) => kind === 'credential')) return;
  const message = 'must not hold a customer\'s credential: every user of this machine sees it; put it into "env"';
  payload.issues.push({ code: 'custom', input: payload.value, message });
}

function checkPythonPackages(payload: z.core.ParsePayload<Readonly<Record<string, unknown>>>): void {
  const servers = Map.groupBy(Object.keys(payload.value), pythonPackage);
  for (const [name, [first, second]] of servers) {
    if (second === undefined) continue;
    const message = `"${first}" and "${second}" would both be "servers.${name}" in Python; rename one of them`;
    payload.issues.push({ code: 'custom', input: payload.value, message });
  }
}

type Keyed = Readonly<Record<string, unknown>>;

interface RuleOptions {
  readonly error: string;
  readonly when: (payload: { readonly value: unknown }) => boolean;
}

/** A rule that is checked also when other rules are broken, so that one run reports every problem. */
function rule(error: string, holds: (value: Keyed) => boolean): [(value: Keyed) => boolean, RuleOptions] {
  return [holds, { error, when: ({ value }) => typeof value === 'object' && value !== null }];
}

function hasOneTransport(server: Keyed): boolean {
  return 'command' in server !== 'url' in server;
}

function hasNoStdioKeys(server: Keyed): boolean {
  return 'command' in server || !('url' in server && ['args', 'env', 'cwd'].some((key) => key in server));
}

function hasNoHttpKeys(server: Keyed): boolean {
  return 'url' in server || !('command' in server && 'headers' in server);
}
