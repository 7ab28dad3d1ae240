import type { JsonSchema, ToolDescriptor } from '../core/tool.ts';
import type { Secret } from '../util/secret.ts';

/** How to reach one MCP server. */
export type UpstreamServer = StdioServer | HttpServer;

/** A child process that speaks MCP over its stdin and stdout. */
export interface StdioServer {
  readonly kind: 'stdio';
  /** An absolute path, or a bare name to look up in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  /** Added to HOME, LOGNAME, PATH, SHELL, TERM and USER, which are all that the process inherits. */
  readonly env: Readonly<Record<string, Secret>>;
  readonly cwd: string;
  /** Bounds the start, and a call for which the caller sets no bound. */
  readonly timeoutMs: number;
}

/** A streamable HTTP endpoint. */
export interface HttpServer {
  readonly kind: 'http';
  readonly url: string;
  readonly headers: Readonly<Record<string, Secret>>;
  /** Bounds connecting, and a call for which the caller sets no bound. */
  readonly timeoutMs: number;
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
