import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import type { Quotas } from '../core/limits.ts';
import type { Config, McpServerConfig } from './config.ts';
import type { FileConfig } from './schema.ts';

/** What was parsed, with its units in the names of its fields; `folder` is where the file is. */
export async function resolveConfig(parsed: FileConfig, folder: string): Promise<Config> {
  const { paths, sandbox, workspace, sessions, server, tools, selector, quotas, limits, approvals, log } = parsed;
  const servers = Object.entries(parsed.mcpServers).map(async ([name, entry]) => [name, await toServer(entry, folder)]);
  return {
    paths: { ...paths, server: paths.server ?? join(paths.workspaces, '.server') },
    mcpServers: Object.fromEntries(await Promise.all(servers)),
    sandbox: {
      driver: sandbox.driver,
      url: sandbox.url,
      apiKey: sandbox.apiKey,
      image: sandbox.image,
      images: sandbox.images,
      protocol: sandbox.protocol,
      isolation: sandbox.isolation,
      memoryBytes: sandbox.memory,
      cpus: sandbox.cpus,
      bootTimeoutMs: sandbox.bootTimeout,
      idleTimeoutMs: sandbox.idleTimeout,
      template: sandbox.template,
      pool: sandbox.pool,
      memoryCeilingBytes: sandbox.memoryCeiling,
      processes: sandbox.processes,
      descriptors: sandbox.descriptors,
      network: sandbox.network,
    },
    workspace: {
      capacityBytes: workspace.capacity,
      inodes: workspace.inodes,
      maxFileBytes: workspace.maxFile,
      maxArchiveBytes: workspace.maxArchive,
      maxArchiveFiles: workspace.maxArchiveFiles,
      maxSnapshots: workspace.maxSnapshots,
      shared: workspace.shared,
      leaseMs: workspace.lease,
    },
    sessions: {
      maxSizeBytes: sessions.maxSize,
      retentionMs: sessions.retention,
      encryptionKey: sessions.encryptionKey,
      oldKeys: sessions.oldKeys,
    },
    server: {
      host: server.host,
      port: server.port,
      hosts: server.hosts,
      apiKey: server.apiKey,
      drainMs: server.drain,
      maxExecutions: server.maxExecutions,
      maxQueued: server.maxQueued,
      queueTimeoutMs: server.queueTimeout,
      requestsPerSecond: server.requestsPerSecond,
      failedKeysPerMinute: server.failedKeysPerMinute,
    },
    tools: { observed: tools.observed },
    selector: {
      limit: selector.limit,
      threshold: selector.threshold,
      usage: selector.usage,
      embeddings: {
        mode: selector.embeddings.mode,
        offline: selector.embeddings.offline,
        modelPath: selector.embeddings.modelPath,
      },
    },
    quotas: {
      default: toQuotas(quotas.default),
      organisations: mapValues(quotas.organisations, toQuotas),
      customers: mapValues(quotas.customers, toQuotas),
    },
    limits: {
      timeoutMs: limits.timeout,
      outputBytes: limits.output,
      toolCalls: limits.toolCalls,
      codeBytes: limits.code,
      valueBytes: limits.value,
    },
    approvals: { holdMs: approvals.hold, expireMs: approvals.expire },
    log,
  };
}

/** A key that is not there is left to the next layer, and one that is undefined would not be. */
function toQuotas({ disk, ...others }: FileConfig['quotas']['default']): Quotas {
  return disk === undefined ? others : { ...others, diskBytes: disk };
}

function mapValues<In, Out>(values: Readonly<Record<string, In>>, map: (value: In) => Out): Record<string, Out> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value)]));
}

async function toServer(entry: FileConfig['mcpServers'][string], folder: string): Promise<McpServerConfig> {
  const { command, args = [], env = {}, cwd = folder, url = '', headers = {} } = entry;
  const {
    timeout: timeoutMs,
    allowedTools,
    excludeTools,
    perCustomer,
    quarantine,
    requireApproval,
    idempotencyKey,
  } = entry;
  const policy = { timeoutMs, allowedTools, excludeTools, perCustomer, quarantine, requireApproval, idempotencyKey };
  if (command === undefined) return { kind: 'http', url, headers, ...policy };
  return { kind: 'stdio', command: await findCommand(command, folder), args, env, cwd, ...policy };
}

/** A bare name means the one that npm installed beside the configuration, before the one in PATH. */
async function findCommand(command: string, folder: string): Promise<string> {
  if (command.includes('/')) return command;
  const installed = join(folder, 'node_modules', '.bin', command);
  return access(installed, constants.X_OK).then(
    () => installed,
    () => command,
  );
}
