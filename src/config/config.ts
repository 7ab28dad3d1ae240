import type { ExecutionLimits } from '../core/limits.ts';
import type { Secret } from '../util/secret.ts';

/** The resolved configuration: frozen, paths absolute, times in milliseconds, sizes in bytes. */
export interface Config {
  readonly paths: PathsConfig;
  readonly mcpServers: Readonly<Record<string, McpServerConfig>>;
  readonly sandbox: SandboxConfig;
  readonly server: ServerConfig;
  readonly selector: SelectorConfig;
  readonly limits: ExecutionLimits;
  readonly log: { readonly level: LogLevel };
}

/** Absolute folders. */
export interface PathsConfig {
  readonly workspaces: string;
  readonly servers: string;
  readonly skills: string;
  readonly cache: string;
}

/** One upstream MCP server: a child process that speaks over stdio, or a streamable HTTP endpoint. */
export type McpServerConfig = StdioServerConfig | HttpServerConfig;

export interface StdioServerConfig {
  readonly kind: 'stdio';
  /** An absolute path, or a bare name to look up in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, Secret>>;
  readonly cwd: string;
  /** Bounds the start of the server, and a call for which the caller sets no bound. */
  readonly timeoutMs: number;
}

export interface HttpServerConfig {
  readonly kind: 'http';
  readonly url: string;
  readonly headers: Readonly<Record<string, Secret>>;
  /** Bounds connecting, and a call for which the caller sets no bound. */
  readonly timeoutMs: number;
}

export interface SandboxConfig {
  readonly driver: SandboxDriverName;
  /** A Microsandbox server to use; undefined runs one inside this process. */
  readonly url: string | undefined;
  readonly apiKey: Secret | undefined;
  /** `host`, an absolute folder, or an image reference. */
  readonly image: string;
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly bootTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Whether sandboxes are restored from a saved template instead of booted. */
  readonly template: boolean;
}

/** What `workcell serve` listens on. */
export interface ServerConfig {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly apiKey: Secret | undefined;
}

export interface SelectorConfig {
  /** Tools that one selection holds at most. */
  readonly limit: number;
  /** The lowest score of a selected tool, 0 to 1; undefined leaves it to the selector. */
  readonly threshold: number | undefined;
}

export const DRIVERS = ['auto', 'qemu'] as const;
export type SandboxDriverName = (typeof DRIVERS)[number];

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
