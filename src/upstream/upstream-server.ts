import type { JsonSchema, ToolDescriptor } from '../core/tool.ts';
import type { Secret } from '../util/secret.ts';
import type { ToolFilter } from './tool-filter.ts';

/** How to reach one MCP server. */
export type UpstreamServer = StdioServer | HttpServer;

/** What holds for every server, however it is reached. */
export interface ServerPolicy extends ToolFilter {
  /** Bounds connecting, and a call for which the caller sets no bound. */
  readonly timeoutMs: number;
  /** Whether each customer has a connection, and a process, of its own; so it is, too, when a value names a customer's credential. */
  readonly perCustomer?: boolean;
  /** Whether only tools that were approved as they are may be called. */
  readonly quarantine?: boolean;
  /** Whether it performs calls with the same key once; calls carry one then. */
  readonly idempotencyKey?: boolean;
}

/** A child process that speaks MCP over its stdin and stdout. */
export interface StdioServer extends ServerPolicy {
  readonly kind: 'stdio';
  /** An absolute path, or a bare name to look up in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  /** Added to HOME, LOGNAME, PATH, SHELL, TERM and USER, which are all that the process inherits. */
  readonly env: Readonly<Record<string, Secret>>;
  readonly cwd: string;
}

/** A streamable HTTP endpoint, or one of the HTTP+SSE transport that came before it. */
export interface HttpServer extends ServerPolicy {
  readonly kind: 'http';
  readonly url: string;
  readonly headers: Readonly<Record<string, Secret>>;
}

/** What a server says about itself. */
export interface ServerInfo {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly instructions?: string;
}

/** One tool as its server lists it. */
export type UpstreamTool = Omit<ToolDescriptor, 'kind' | 'server' | 'identifier'>;

/** Stands for an input schema that a server left out or that is none: any arguments. */
export const ANY_ARGUMENTS: JsonSchema = { type: 'object' };
