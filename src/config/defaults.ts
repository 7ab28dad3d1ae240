import { homedir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import type { Entry } from './layer.ts';

const ORIGIN = 'default';

/** What holds when nothing else is said, in the language of `config.yaml`. */
export function defaultLayer(env: Readonly<Record<string, string | undefined>>): readonly Entry[] {
  const cache = join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'workcell');
  const sections = {
    paths: { workspaces: './workspaces', servers: './servers', skills: './skills', cache },
    sandbox: {
      driver: 'auto',
      image: 'host',
      memory: '512M',
      cpus: 1,
      bootTimeout: '60s',
      idleTimeout: '5m',
      template: true,
      images: {},
      protocol: 'cloud',
      isolation: 'emulated',
      pool: 0,
      processes: 1024,
      descriptors: 4096,
    },
    sessions: { maxSize: '256M' },
    workspace: {
      maxFile: '1G',
      maxArchive: '4G',
      maxArchiveFiles: 100_000,
      maxSnapshots: 20,
      shared: false,
      lease: '30s',
    },
    server: {
      host: '127.0.0.1',
      port: 5555,
      drain: '30s',
      maxExecutions: 64,
      maxQueued: 1000,
      queueTimeout: '1m',
      requestsPerSecond: 500,
      failedKeysPerMinute: 600,
    },
    tools: { observed: true },
    selector: { limit: 5, usage: true },
    limits: {
      timeout: DEFAULT_LIMITS.timeoutMs,
      output: DEFAULT_LIMITS.outputBytes,
      toolCalls: DEFAULT_LIMITS.toolCalls,
      code: DEFAULT_LIMITS.codeBytes,
      value: DEFAULT_LIMITS.valueBytes,
    },
    approvals: { hold: '5m', expire: '7d' },
    log: { level: 'warn' },
  };
  return [
    entryOf(['mcpServers'], {}),
    entryOf(['sandbox', 'network', 'allow'], []),
    entryOf(['server', 'hosts'], []),
    entryOf(['quotas', 'default'], {}),
    entryOf(['quotas', 'organisations'], {}),
    entryOf(['quotas', 'customers'], {}),
    entryOf(['sessions', 'oldKeys'], []),
    entryOf(['selector', 'embeddings', 'mode'], 'auto'),
    entryOf(['selector', 'embeddings', 'offline'], false),
    ...Object.entries(sections).flatMap(([section, values]) =>
      Object.entries(values).map(([key, value]) => entryOf([section, key], value)),
    ),
  ];
}

/** The defaults of each MCP server that `entries` name. */
export function serverDefaults(entries: readonly Entry[]): readonly Entry[] {
  return entries.flatMap(({ path: [section, name, key] }) => {
    if (section !== 'mcpServers' || name === undefined) return [];
    const common = {
      timeout: '60s',
      perCustomer: false,
      quarantine: false,
      requireApproval: 'never',
      idempotencyKey: false,
    };
    const values = key === 'command' ? { ...common, args: [], cwd: '.' } : common;
    return Object.entries(values).map(([child, value]) => entryOf([section, name, child], value));
  });
}

function entryOf(path: readonly string[], value: unknown): Entry {
  return { path, value, written: value, origin: ORIGIN };
}
