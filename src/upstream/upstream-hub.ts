import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isWorkcellError, toWorkcellError, WorkcellError } from '../core/errors.ts';
import { schemaHash } from '../core/schema-hash.ts';
import type { ToolDescriptor, ToolMethod } from '../core/tool.ts';
import { type ToolFailure, type ToolOutcome, type ToolProgress, toolFailed } from '../core/tool-error.ts';
import type { TraceContext } from '../core/trace-context.ts';
import { Deadline } from '../util/deadline.ts';
import { nearest } from '../util/nearest.ts';
import type { Secret } from '../util/secret.ts';
import type { BreakerOptions } from './breaker.ts';
import { credentialMissing, endedFailure, filteredFailure, neverSent, quarantineFailure } from './call-failure.ts';
import type { Connection } from './connection.ts';
import { credentialKeys, isPerCustomer, serverFor, wantsFolder } from './customer-server.ts';
import { type ConnectionStatus, type IdleOptions, ManagedConnection } from './managed-connection.ts';
import { isToolAllowed, unmatchedPatterns } from './tool-filter.ts';
import type { CallResult } from './tool-result.ts';
import type { ServerInfo, UpstreamServer, UpstreamTool } from './upstream-server.ts';

export interface UpstreamHubOptions {
  readonly servers: Readonly<Record<string, UpstreamServer>>;
  /** Told why a server could not be reached or was lost, with all that the operator needs; nobody else is told. */
  readonly onProblem?: (server: string, error: WorkcellError) => void;
  /** Told when the tools of a server may have changed: it says so, or it was away for a while. */
  readonly onToolsChanged?: (server: string) => void;
  /** The hash with which a tool was approved; asked for servers with `quarantine`. Default: none is approved. */
  readonly approvedHash?: (server: string, tool: string) => string | undefined;
  /** A credential of a customer; of nobody when `customer` is undefined, for looking at the tools. Default: there are none. */
  readonly credential?: (customer: string | undefined, key: string) => Promise<Secret | undefined>;
  /** A folder for what servers write to stderr and for the folders of customers. Default: neither is kept. */
  readonly folder?: string;
  /** How long the connection of one customer is kept without a call; default 5 minutes. */
  readonly customerIdleMs?: number;
  readonly breaker?: BreakerOptions;
  /** The first pause before a lost connection is made anew; default 500 ms. */
  readonly reconnectMs?: number;
}

export interface UpstreamCall {
  readonly server: string;
  /** The tool's original name. */
  readonly tool: string;
  /** Default: `tools/call`. */
  readonly method?: ToolMethod | undefined;
  readonly arguments: Readonly<Record<string, unknown>>;
  /** For whom; a server with connections per customer cannot be called without. */
  readonly customer?: string | undefined;
  /** Whether it may be sent a second time when nobody knows whether the first one arrived. Default: no. */
  readonly idempotent?: boolean | undefined;
  /** Names the call, for a server that performs calls with the same key once; others do not get it. */
  readonly idempotencyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bounds the call with connecting before it; default: the server's own timeout. */
  readonly timeoutMs?: number | undefined;
  readonly onProgress?: ((progress: ToolProgress) => void) | undefined;
  /** Told to the server, which may do a part of the work that it names. */
  readonly trace?: TraceContext | undefined;
  /** Told of the whole answer of a tool that did not fail, as its server gave it. */
  readonly onResult?: ((result: CallResult) => void) | undefined;
}

/** What a server lists, and what of it cannot be called. */
export interface ToolListing {
  /** What the filter lets through. */
  readonly tools: readonly UpstreamTool[];
  /** Names of the tools that the filter hides. */
  readonly filtered: readonly string[];
  /** Patterns of the filter that no tool matches. */
  readonly unmatched: readonly string[];
}

export interface ServerStatus extends ConnectionStatus {
  readonly server: string;
  /** Connections of customers, when each has its own; `state` and `breaker` are then those of looking at the tools. */
  readonly customers?: number;
}

const CUSTOMER_IDLE_MS = 5 * 60_000;
/** How often a call is sent at most. */
const MAX_ATTEMPTS = 2;
/** Stands for the customer where there is none: no customer can have this id. */
const NOBODY = '_discovery';

/**
 * The upstream MCP servers.
 *
 * Each is connected when it is first needed, bounded by its own timeout, and kept connected; one that is down is no concern of
 * the others. What its filter or the quarantine hides is neither listed nor called. A server with credentials of customers, or
 * with `perCustomer`, has one connection for each customer, which nobody else ever gets. Dispose it to end all sessions and
 * child processes.
 */
export class UpstreamHub implements AsyncDisposable {
  readonly #options: UpstreamHubOptions;
  readonly #servers: ReadonlyMap<string, UpstreamServer>;
  readonly #shared = new Map<string, ManagedConnection>();
  readonly #own = new Map<string, Map<string, OwnConnection>>();
  readonly #endings = new Set<Promise<void>>();
  readonly #closed = new AbortController();

  constructor(options: UpstreamHubOptions) {
    this.#options = options;
    this.#servers = new Map(Object.entries(options.servers));
  }

  /** The names of all configured servers. */
  get servers(): readonly string[] {
    return [...this.#servers.keys()];
  }

  /** How the server stands; asks nobody. Throws `not_found`. */
  status(name: string): ServerStatus {
    const server = this.#get(name);
    const own = this.#own.get(name);
    const connection = isPerCustomer(server) ? own?.get(NOBODY)?.connection : this.#shared.get(name);
    const status = connection?.status ?? ({ state: 'idle', breaker: 'closed' } as const);
    if (!isPerCustomer(server)) return { server: name, ...status };
    return { server: name, ...status, customers: [...(own?.keys() ?? [])].filter((id) => id !== NOBODY).length };
  }

  /** Where the stderr of a server is kept; undefined when it is not. Throws `not_found`. */
  logPath(name: string, customer?: string): string | undefined {
    this.#get(name);
    const { folder } = this.#options;
    return folder && join(folder, 'logs', `${customer === undefined ? name : `${name}@${customer}`}.log`);
  }

  /** What the server says about itself. Throws `not_found`, `upstream_unavailable`, or what ended the deadline. */
  async describe(server: string, deadline: Deadline): Promise<ServerInfo> {
    const managed = await this.#connection(server, undefined);
    return await managed.use(deadline, async (connection) => connection.info);
  }

  /** All tools that can be called. Throws as {@link describe} does, and `protocol_error` for a list that is none. */
  async listTools(server: string, deadline: Deadline): Promise<readonly UpstreamTool[]> {
    return (await this.inspectTools(server, deadline)).tools;
  }

  /** As {@link listTools}, with what is left out. A tool in quarantine is in the list: what changed must be known to be approved. */
  async inspectTools(name: string, deadline: Deadline): Promise<ToolListing> {
    const managed = await this.#connection(name, undefined);
    const all = await managed.use(deadline, (connection) => connection.listTools(deadline));
    const server = this.#get(name);
    const names = all.map(({ tool }) => tool);
    return {
      tools: all.filter(({ tool }) => isToolAllowed(server, tool)),
      filtered: names.filter((tool) => !isToolAllowed(server, tool)),
      unmatched: unmatchedPatterns(server, names),
    };
  }

  /**
   * Why this tool cannot be called as it is: the one place that decides it, for what is shown as for what is called. Asks
   * nobody: of the tool itself only what the caller knows of it.
   */
  refusal(tool: Omit<UpstreamTool, 'annotations'> & Pick<ToolDescriptor, 'server'>): ToolFailure | undefined {
    const server = this.#servers.get(tool.server);
    if (server === undefined) {
      const message = `The MCP server "${tool.server}" is not configured; add it to mcpServers`;
      return { code: 'not_allowed', message };
    }
    if (!isToolAllowed(server, tool.tool)) return filteredFailure(tool);
    if (server.quarantine !== true) return undefined;
    const approved = this.#options.approvedHash?.(tool.server, tool.tool);
    return approved === schemaHash(tool) ? undefined : quarantineFailure(tool, approved !== undefined);
  }

  /** Calls a tool. It is sent once, or a second time when that can do no harm: it never arrived, or it is idempotent. Never rejects. */
  async callTool(call: UpstreamCall): Promise<ToolOutcome> {
    const { server: name, tool, signal } = call;
    const server = this.#servers.get(name);
    const timeoutMs = call.timeoutMs ?? server?.timeoutMs ?? 0;
    using deadline = new Deadline(`Calling ${name}.${tool}`, timeoutMs, { signal });
    if (server !== undefined && !isToolAllowed(server, tool)) return toolFailed(call, filteredFailure(call));
    for (let attempt = 1; ; attempt++) {
      const { outcome, isLost } = await this.#attempt(call, deadline);
      const idempotent = call.idempotent === true || this.#isKeyed(call);
      if (attempt === MAX_ATTEMPTS || deadline.signal.aborted || !mayRepeat(outcome, idempotent, isLost))
        return outcome;
    }
  }

  /** Ends every session and child process, and waits for them; later calls are refused. */
  async close(): Promise<void> {
    this.#closed.abort(new WorkcellError('cancelled', 'The connections to MCP servers are closed'));
    for (const connection of this.#shared.values()) this.#end(connection);
    for (const { connection } of [...this.#own.values()].flatMap((own) => [...own.values()])) this.#end(connection);
    while (this.#endings.size > 0) await Promise.all(this.#endings);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #isKeyed(call: UpstreamCall): boolean {
    const server = this.#servers.get(call.server);
    return server?.idempotencyKey === true && call.idempotencyKey !== undefined;
  }

  async #attempt(call: UpstreamCall, deadline: Deadline): Promise<Attempt> {
    let isSent = false;
    try {
      deadline.check();
      const managed = await this.#connection(call.server, call.customer ?? null);
      const outcome = await managed.use(deadline, async (connection) => {
        const refusal = await this.#liveRefusal(call, connection, deadline);
        if (refusal !== undefined) return toolFailed(call, refusal);
        isSent = true;
        return await connection.callTool(call, {
          deadline,
          idempotencyKey: this.#isKeyed(call) ? call.idempotencyKey : undefined,
          onProgress: call.onProgress,
          trace: call.trace,
        });
      });
      return { outcome, isLost: isSent && managed.status.state !== 'connected' };
    } catch (error) {
      if (deadline.signal.aborted) return { outcome: toolFailed(call, endedFailure(error, isSent)), isLost: false };
      if (!isWorkcellError(error)) this.#options.onProblem?.(call.server, toWorkcellError(error));
      return { outcome: toolFailed(call, neverSent(call.server, error)), isLost: false };
    }
  }

  /** With a quarantine, what is called is the tool as its server has it at this moment, whatever the files say. */
  async #liveRefusal(
    { server, tool }: UpstreamCall,
    connection: Connection,
    deadline: Deadline,
  ): Promise<ToolFailure | undefined> {
    if (this.#get(server).quarantine !== true) return undefined;
    const known = (await deadline.race(connection.knownTools(deadline))).find((each) => each.tool === tool);
    return known === undefined ? undefined : this.refusal({ ...known, server });
  }

  /** `customer`: undefined to look at the tools, null for a call without a customer. */
  async #connection(name: string, customer: string | undefined | null): Promise<ManagedConnection> {
    this.#closed.signal.throwIfAborted();
    const server = this.#get(name);
    if (isPerCustomer(server)) return await this.#ownConnection(name, server, customer);
    const current = this.#shared.get(name);
    if (current !== undefined) return current;
    const managed = this.#manage(name, server, this.logPath(name));
    this.#shared.set(name, managed);
    return managed;
  }

  async #ownConnection(
    name: string,
    server: UpstreamServer,
    customer: string | undefined | null,
  ): Promise<ManagedConnection> {
    if (customer === null) {
      const message = `The MCP server "${name}" is for customers, and this call has none`;
      throw new WorkcellError('invalid_argument', message);
    }
    const id = customer ?? NOBODY;
    const credentials = await this.#credentials(name, server, customer);
    const folder = await this.#customerFolder(name, server, id);
    this.#closed.signal.throwIfAborted();
    const fingerprint = JSON.stringify([...credentials].map(([key, value]) => [key, value.reveal()]));
    const own = this.#own.get(name) ?? new Map<string, OwnConnection>();
    this.#own.set(name, own);
    const current = own.get(id);
    if (current?.fingerprint === fingerprint) return current.connection;
    // The credential was replaced: nothing goes over what was opened with the old one.
    if (current !== undefined) this.#end(current.connection);
    const { customerIdleMs = CUSTOMER_IDLE_MS } = this.#options;
    const filled = serverFor(server, { id, folder, credentials });
    // What is known of a customer goes with the connection: there may be many.
    const onIdle = () => {
      if (own.get(id)?.connection === connection) own.delete(id);
      this.#end(connection);
    };
    const idle = { afterMs: customerIdleMs, onIdle };
    const connection = this.#manage(name, filled, this.logPath(name, customer), idle);
    own.set(id, { connection, fingerprint });
    return connection;
  }

  async #credentials(
    name: string,
    server: UpstreamServer,
    customer: string | undefined,
  ): Promise<ReadonlyMap<string, Secret>> {
    const keys = credentialKeys(server);
    const found = await Promise.all(
      keys.map(async (key) => [key, await this.#options.credential?.(customer, key)] as const),
    );
    return new Map(
      found.map(([key, value]) => {
        if (value === undefined) throw credentialMissing(name, key, customer);
        return [key, value];
      }),
    );
  }

  async #customerFolder(name: string, server: UpstreamServer, id: string): Promise<string> {
    if (!wantsFolder(server)) return '';
    if (this.#options.folder === undefined) throw new WorkcellError('internal', 'The hub has no folder for customers');
    const folder = join(this.#options.folder, 'customers', id, name);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  #manage(name: string, server: UpstreamServer, logPath: string | undefined, idle?: IdleOptions): ManagedConnection {
    const { onProblem, onToolsChanged, breaker, reconnectMs } = this.#options;
    return new ManagedConnection({
      name,
      server,
      logPath,
      idle,
      breaker,
      reconnectMs,
      closed: this.#closed.signal,
      onProblem: (error) => {
        if (!this.#closed.signal.aborted) onProblem?.(name, error);
      },
      onToolsChanged: () => onToolsChanged?.(name),
    });
  }

  #end(connection: ManagedConnection): void {
    const ending = connection.close();
    this.#endings.add(ending);
    void ending.then(() => this.#endings.delete(ending));
  }

  #get(name: string): UpstreamServer {
    const server = this.#servers.get(name);
    if (server !== undefined) return server;
    const [meant] = nearest(name, this.#servers.keys());
    const hint =
      meant === undefined ? `configured are ${this.servers.join(', ') || 'none'}` : `did you mean "${meant}"?`;
    throw new WorkcellError('not_found', `There is no MCP server ${JSON.stringify(name)}; ${hint}`);
  }
}

/** A customer's, and what it was opened with. */
interface OwnConnection {
  readonly connection: ManagedConnection;
  readonly fingerprint: string;
}

interface Attempt {
  readonly outcome: ToolOutcome;
  /** Whether the connection broke under the call. */
  readonly isLost: boolean;
}

/** A call that surely never arrived, because its session was gone; or one that has no further effect when it is repeated. */
function mayRepeat(outcome: ToolOutcome, idempotent: boolean, isLost: boolean): boolean {
  if (outcome.ok || outcome.error.code !== 'upstream_unavailable') return false;
  return isLost ? outcome.error.retryable || idempotent : !outcome.error.retryable && idempotent;
}
