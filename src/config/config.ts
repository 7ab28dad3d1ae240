import type { ApprovalPolicy } from '../core/approval.ts';
import type { Isolation } from '../core/execution.ts';
import type { ExecutionLimits, QuotaRules } from '../core/limits.ts';
import type { Secret } from '../util/secret.ts';

/** The resolved configuration: frozen, paths absolute, times in milliseconds, sizes in bytes. */
export interface Config {
  readonly paths: PathsConfig;
  readonly mcpServers: Readonly<Record<string, McpServerConfig>>;
  readonly sandbox: SandboxConfig;
  readonly workspace: WorkspaceConfig;
  readonly sessions: SessionsConfig;
  readonly server: ServerConfig;
  readonly tools: ToolsConfig;
  readonly selector: SelectorConfig;
  readonly quotas: QuotaRules;
  readonly limits: ExecutionLimits;
  readonly approvals: ApprovalsConfig;
  readonly log: { readonly level: LogLevel };
}

/** Absolute folders. */
export interface PathsConfig {
  readonly workspaces: string;
  readonly servers: string;
  readonly skills: string;
  readonly cache: string;
  /** What a server keeps for itself: keys, and the state of its sandboxes. */
  readonly server: string;
}

/**
 * One upstream MCP server: a child process that speaks over stdio, or an HTTP endpoint. Values of `args`, `env` and `headers` can
 * hold marks that are filled in for each customer, see `util/customer-value.ts`.
 */
export type McpServerConfig = StdioServerConfig | HttpServerConfig;

interface McpServerPolicy {
  /** Bounds connecting, and a call for which the caller sets no bound. */
  readonly timeoutMs: number;
  /** The tools there are, `*` for any characters; undefined is all of them. */
  readonly allowedTools: readonly string[] | undefined;
  /** Tools left out; wins over `allowedTools`. */
  readonly excludeTools: readonly string[] | undefined;
  /** Whether each customer has a connection, and a process, of its own. */
  readonly perCustomer: boolean;
  /** Whether only tools that were approved as they are may be called. */
  readonly quarantine: boolean;
  /** Which calls wait until somebody has approved them. */
  readonly requireApproval: ApprovalPolicy;
  /** Whether the server performs calls with the same key once, so that one may be sent again. */
  readonly idempotencyKey: boolean;
}

export interface StdioServerConfig extends McpServerPolicy {
  readonly kind: 'stdio';
  /** An absolute path, or a bare name to look up in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, Secret>>;
  readonly cwd: string;
}

export interface HttpServerConfig extends McpServerPolicy {
  readonly kind: 'http';
  readonly url: string;
  readonly headers: Readonly<Record<string, Secret>>;
}

export interface SandboxConfig {
  readonly driver: SandboxDriverName;
  /** A Microsandbox server to use; undefined runs one inside this process. */
  readonly url: string | undefined;
  readonly apiKey: Secret | undefined;
  /** `host`, an absolute folder, or an image reference. */
  readonly image: string;
  /** What a client's image reference stands for: `host`, or an absolute folder that holds a root file system. */
  readonly images: Readonly<Record<string, string>>;
  /** How the server is spoken to: the cloud API, or JSON-RPC of the 0.2 line. */
  readonly protocol: (typeof SANDBOX_PROTOCOLS)[number];
  /** The weakest isolation that is accepted. */
  readonly isolation: Isolation;
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly bootTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Whether sandboxes are restored from a saved template instead of booted. */
  readonly template: boolean;
  /** Restored copies that wait without a customer. 0 is no pool. */
  readonly pool: number;
  /** What all guests of a server may have together; further ones wait. Undefined leaves it to the host's memory. */
  readonly memoryCeilingBytes: number | undefined;
  /** Processes, and open files of each process, that commands in a guest may have. */
  readonly processes: number;
  readonly descriptors: number;
  readonly network: { readonly allow: readonly string[] };
}

export interface WorkspaceConfig {
  /** What a customer's workspace may hold; undefined is as much as the disk. */
  readonly capacityBytes: number | undefined;
  readonly inodes: number | undefined;
  /** Of one file that is sent. */
  readonly maxFileBytes: number;
  /** Of what an archive that is sent holds, unpacked, and of the archive itself. */
  readonly maxArchiveBytes: number;
  readonly maxArchiveFiles: number;
  /** Of one customer. */
  readonly maxSnapshots: number;
  /** Whether several servers have the workspaces on shared storage; then one at a time owns a customer. */
  readonly shared: boolean;
  /** How long one that is gone keeps a customer from the others. */
  readonly leaseMs: number;
}

/** How the history of customers is kept. */
export interface SessionsConfig {
  /** Of one session: no further execution starts in it then. */
  readonly maxSizeBytes: number;
  /** Sessions that were not written to for as long are deleted; undefined keeps them. */
  readonly retentionMs: number | undefined;
  /** What is written is encrypted with it; undefined leaves it as it is. */
  readonly encryptionKey: Secret | undefined;
  /** Only to read what was written with them. */
  readonly oldKeys: readonly Secret[];
}

/** What `workcell serve` listens on. */
export interface ServerConfig {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Names under which clients reach it, besides `localhost` and its address. */
  readonly hosts: readonly string[];
  readonly apiKey: Secret | undefined;
  /** How long executions under way may go on when the server is asked to end. */
  readonly drainMs: number;
  /** Executions at once, over all customers; further ones wait for their turn. */
  readonly maxExecutions: number;
  /** How many may wait, and for how long. */
  readonly maxQueued: number;
  readonly queueTimeoutMs: number;
  /** Of one key, on average; twice as many in one second. */
  readonly requestsPerSecond: number;
  /** Of one address; further ones are not looked at. */
  readonly failedKeysPerMinute: number;
}

export interface ToolsConfig {
  /** Whether the types of results are learned from those that were seen, where a server publishes none. */
  readonly observed: boolean;
}

export interface SelectorConfig {
  /** Tools that one selection holds at most. */
  readonly limit: number;
  /** The lowest score of a selected tool, 0 to 1; undefined leaves it to the selector. */
  readonly threshold: number | undefined;
  /** Whether tools are also found by the tasks that they have served for the customer. */
  readonly usage: boolean;
  readonly embeddings: EmbeddingsConfig;
}

/** Whether tools are also found by meaning. */
export interface EmbeddingsConfig {
  /** `auto` uses the model when it is on this machine, and downloads nothing; `on` downloads it with the first query. */
  readonly mode: (typeof EMBEDDING_MODES)[number];
  /** Whether the model is never downloaded. */
  readonly offline: boolean;
  /** A folder that holds a model, instead of the one in the cache. */
  readonly modelPath: string | undefined;
}

/** How long calls wait to be approved. */
export interface ApprovalsConfig {
  /** With the program in its sandbox; after that it is ended, and runs again when the decision is there. */
  readonly holdMs: number;
  /** At all; a call that nobody has decided on by then counts as rejected. */
  readonly expireMs: number;
}

export const EMBEDDING_MODES = ['auto', 'on', 'off'] as const;

export const DRIVERS = ['auto', 'microsandbox', 'qemu', 'bubblewrap'] as const;
export type SandboxDriverName = (typeof DRIVERS)[number];

export const SANDBOX_PROTOCOLS = ['cloud', 'rpc'] as const;

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
