import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import { type ToolFailure, type ToolOutcome, toolFailed } from '../core/tool-error.ts';
import { Deadline } from '../util/deadline.ts';
import { nearest } from '../util/nearest.ts';
import { Connection, endedFailure } from './connection.ts';
import type { ServerInfo, UpstreamServer, UpstreamTool } from './upstream-server.ts';

export interface UpstreamHubOptions {
  readonly servers: Readonly<Record<string, UpstreamServer>>;
  /** Told why a server could not be reached or was lost, with all that the operator needs; nobody else is told. */
  readonly onProblem?: (server: string, error: WorkcellError) => void;
}

export interface UpstreamCall {
  readonly server: string;
  /** The tool's original name. */
  readonly tool: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal | undefined;
  /** Bounds the call with connecting before it; default: the server's own timeout. */
  readonly timeoutMs?: number | undefined;
}

/**
 * The upstream MCP servers.
 *
 * Each is connected when it is first needed, once for all callers, bounded by its own timeout; one that is down is no
 * concern of the others. After a loss, the next call connects anew. Dispose it to end all sessions and child processes.
 */
export class UpstreamHub implements AsyncDisposable {
  readonly #servers: ReadonlyMap<string, UpstreamServer>;
  readonly #onProblem: (server: string, error: WorkcellError) => void;
  readonly #connections = new Map<string, Promise<Connection>>();
  readonly #endings = new Set<Promise<void>>();
  readonly #closed = new AbortController();

  constructor(options: UpstreamHubOptions) {
    this.#servers = new Map(Object.entries(options.servers));
    this.#onProblem = options.onProblem ?? (() => {});
  }

  /** The names of all configured servers. */
  get servers(): readonly string[] {
    return [...this.#servers.keys()];
  }

  /** What the server says about itself. Throws `not_found`, `upstream_unavailable`, or what ended the deadline. */
  async describe(server: string, deadline: Deadline): Promise<ServerInfo> {
    return (await deadline.race(this.#connect(server))).info;
  }

  /** All tools of all pages. Throws as {@link describe} does, and `protocol_error` for a list that is none. */
  async listTools(server: string, deadline: Deadline): Promise<readonly UpstreamTool[]> {
    const connection = await deadline.race(this.#connect(server));
    return connection.listTools(deadline);
  }

  /** Calls a tool, once: a call that was sent is never repeated. Never rejects. */
  async callTool(call: UpstreamCall): Promise<ToolOutcome> {
    const { server, tool, signal } = call;
    const timeoutMs = call.timeoutMs ?? this.#servers.get(server)?.timeoutMs ?? 0;
    using deadline = new Deadline(`Calling ${server}.${tool}`, timeoutMs, { signal });
    let connection: Connection;
    try {
      deadline.check();
      connection = await deadline.race(this.#connect(server));
    } catch (error) {
      if (deadline.signal.aborted) return toolFailed(call, endedFailure(error, false));
      return toolFailed(call, neverSent(server, error));
    }
    return await connection.callTool(tool, call.arguments, deadline);
  }

  /** Ends every session and child process, and waits for them; later calls are refused. */
  async close(): Promise<void> {
    this.#closed.abort(new WorkcellError('cancelled', 'The connections to MCP servers are closed'));
    for (const connection of this.#connections.values()) this.#end(connection);
    while (this.#endings.size > 0) await Promise.all(this.#endings);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #connect(name: string): Promise<Connection> {
    this.#closed.signal.throwIfAborted();
    const current = this.#connections.get(name);
    if (current !== undefined) return current;
    const server = this.#servers.get(name);
    if (server === undefined) throw this.#unknown(name);
    const opening = this.#open(name, server);
    this.#connections.set(name, opening);
    opening.catch((error) => this.#forget(name, error));
    return opening;
  }

  async #open(name: string, server: UpstreamServer): Promise<Connection> {
    const what = `Connecting to MCP server "${name}"`;
    using deadline = new Deadline(what, server.timeoutMs, { signal: this.#closed.signal });
    return await Connection.open({ name, server, onLost: (error) => this.#forget(name, error) }, deadline);
  }

  /** The next call makes a new connection. */
  #forget(name: string, error: WorkcellError): void {
    const connection = this.#connections.get(name);
    this.#connections.delete(name);
    if (connection !== undefined) this.#end(connection);
    if (!this.#closed.signal.aborted) this.#onProblem(name, error);
  }

  #end(connection: Promise<Connection>): void {
    const ending = connection.then((opened) => opened.close()).catch(() => {});
    this.#endings.add(ending);
    void ending.then(() => this.#endings.delete(ending));
  }

  #unknown(name: string): WorkcellError {
    const [meant] = nearest(name, this.#servers.keys());
    const hint =
      meant === undefined ? `configured are ${this.servers.join(', ') || 'none'}` : `did you mean "${meant}"?`;
    return new WorkcellError('not_found', `There is no MCP server ${JSON.stringify(name)}; ${hint}`);
  }
}

function neverSent(server: string, error: unknown): ToolFailure {
  if (!isWorkcellError(error)) return { code: 'upstream_unavailable', message: messageOf(error) };
  const { code, message, details, retryable } = error;
  if (code === 'cancelled') return { code, message };
  // The whole message is the operator's: it can name paths of the host.
  const reason = typeof details['reason'] === 'string' ? `The MCP server "${server}" ${details['reason']}` : message;
  return { code: 'upstream_unavailable', message: reason, retryable };
}
