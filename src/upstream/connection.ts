import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import {
  type ClientRequest,
  ErrorCode,
  McpError,
  type Progress,
  ProgressNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import { type ToolFailure, type ToolOutcome, type ToolProgress, toolFailed } from '../core/tool-error.ts';
import type { TraceContext } from '../core/trace-context.ts';
import { Deadline } from '../util/deadline.ts';
import { packageVersion } from '../util/package-version.ts';
import { endedFailure } from './call-failure.ts';
import { helperTools } from './helper-tools.ts';
import { HttpLink, wantsOldTransport } from './http-link.ts';
import type { Link, Trouble } from './link.ts';
import { listTools, toolPageSchema } from './list-tools.ts';
import { performTool, type ToolRequest } from './perform-tool.ts';
import { redactor, withoutHostPath } from './redact.ts';
import { SseLink } from './sse-link.ts';
import { StdioLink } from './stdio-link.ts';
import { shortened } from './tool-result.ts';
import type { ServerInfo, UpstreamServer, UpstreamTool } from './upstream-server.ts';

/** The entry of `_meta` that names a call: of those with the same text a server performs one, and gives its answer to all. */
const IDEMPOTENCY_KEY = 'workcell/idempotencyKey';
/** How this client names itself to servers. */
const CLIENT = { name: 'workcell', version: packageVersion() };
/** Requests are bounded by their deadline's signal; the SDK's own timer is set beyond any of them. */
const NO_TIMER = 2 ** 31 - 1;
const PING_MS = 5_000;

export interface ConnectionOptions {
  readonly name: string;
  /** With every value filled in. */
  readonly server: UpstreamServer;
  /** Gets what the server's process writes to stderr. */
  readonly onStderr?: ((text: string) => void) | undefined;
  /** Told once, at once, when the session is lost; never after `close`. */
  readonly onLost: (error: WorkcellError) => void;
  /** Told of each answer, whatever it says: the server is there. */
  readonly onAnswer: () => void;
  /** Told when the transport of a request failed, or the server seems stuck, and the session goes on. */
  readonly onTrouble: (error: WorkcellError) => void;
  /** Told when the server says that its tools have changed. */
  readonly onToolsChanged: () => void;
}

export interface CallOptions {
  readonly deadline: Deadline;
  /** Goes into `_meta` as {@link IDEMPOTENCY_KEY}. */
  readonly idempotencyKey?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Goes into `_meta` (MCP 2026-07-28, trace context). */
  readonly trace?: TraceContext | undefined;
}

type OnProgress = (progress: ToolProgress) => void;

/** One initialized session with one server, from connecting until it is lost or closed; it never comes back. */
export class Connection {
  readonly info: ServerInfo;
  readonly #options: ConnectionOptions;
  readonly #client: Client;
  readonly #link: Link;
  readonly #redact: (text: string) => string;
  #loss: Trouble | undefined;
  #pinging: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #tools: Promise<readonly UpstreamTool[]> | undefined;
  readonly #watchers = new Map<unknown, OnProgress>();
  #lastToken = 0;

  /** Throws `upstream_unavailable` that says what to repair; nothing is left running then. */
  static async open(options: ConnectionOptions, deadline: Deadline): Promise<Connection> {
    const { server } = options;
    if (server.kind === 'stdio') return Connection.#over(new StdioLink(server, options.onStderr), options, deadline);
    try {
      return await Connection.#over(new HttpLink(server), options, deadline);
    } catch (error) {
      if (!wantsOldTransport((error as Error).cause)) throw error;
      // When the old transport is not there either, the first answer is the one that says what is wrong.
      return await Connection.#over(new SseLink(server), options, deadline).catch(() => Promise.reject(error));
    }
  }

  static async #over(link: Link, options: ConnectionOptions, deadline: Deadline): Promise<Connection> {
    const { name, server } = options;
    const client = new Client(CLIENT);
    try {
      await client.connect(link.transport, { signal: deadline.signal, timeout: NO_TIMER });
      return new Connection(options, client, link);
    } catch (error) {
      const trouble = link.explain(deadline.signal.aborted ? deadline.signal.reason : error);
      await link.close();
      throw unavailable(name, trouble, redactor(server), error);
    }
  }

  private constructor(options: ConnectionOptions, client: Client, link: Link) {
    this.#options = options;
    this.#client = client;
    this.#link = link;
    this.#redact = redactor(options.server);
    this.info = infoOf(options.name, client);
    client.onclose = () => this.#noteLoss(new Error('The connection closed'));
    if (!link.noticesLoss) client.onerror = () => void this.#ping();
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
      this.#tools = undefined;
      options.onToolsChanged();
    });
    client.setNotificationHandler(ProgressNotificationSchema, ({ params }) => this.#progressed(params));
  }

  /**
   * The server's tools, with the helpers for its resources and prompts. Throws `upstream_unavailable`, `protocol_error` or what
   * ended the deadline.
   */
  async listTools(deadline: Deadline): Promise<readonly UpstreamTool[]> {
    const { tools, resources, prompts } = this.#client.getServerCapabilities() ?? {};
    const options = { signal: deadline.signal, timeout: NO_TIMER };
    try {
      const own = await listTools(async (cursor) => {
        if (tools === undefined) return { tools: [] };
        const params = cursor === undefined ? {} : { cursor };
        return this.#client.request({ method: 'tools/list', params }, toolPageSchema, options);
      });
      if (tools !== undefined) this.#options.onAnswer();
      return [...own, ...helperTools({ resources: resources !== undefined, prompts: prompts !== undefined }, own)];
    } catch (error) {
      deadline.check();
      throw await this.#listingError(error);
    }
  }

  /** As {@link listTools}, read once for this session and again when the server says that they changed. */
  knownTools(deadline: Deadline): Promise<readonly UpstreamTool[]> {
    if (this.#tools !== undefined) return this.#tools;
    const listing = this.listTools(deadline);
    this.#tools = listing;
    listing.catch(() => {
      if (this.#tools === listing) this.#tools = undefined;
    });
    return listing;
  }

  /** Sends the call once, whatever happens to it. When the deadline ends first, the server is told to cancel it. */
  async callTool(
    request: ToolRequest,
    { deadline, idempotencyKey, onProgress, trace }: CallOptions,
  ): Promise<ToolOutcome> {
    const call = { server: this.#options.name, tool: request.tool };
    const options = { signal: deadline.signal, timeout: NO_TIMER };
    const progressToken = this.#watch(onProgress);
    try {
      const answer = await performTool(request, (method, params, schema) => {
        const _meta = {
          ...trace,
          ...(progressToken === undefined ? {} : { progressToken }),
          ...(idempotencyKey === undefined ? {} : { [IDEMPOTENCY_KEY]: idempotencyKey }),
        };
        return this.#client.request({ method, params: { ...params, _meta } } as ClientRequest, schema, options);
      });
      this.#options.onAnswer();
      return answer.ok ? answer : toolFailed(call, this.#redacted(answer.failure));
    } catch (error) {
      if (deadline.signal.aborted) {
        const failure = endedFailure(deadline.signal.reason, true);
        if (failure.code === 'timeout') void this.#checkHealth();
        return toolFailed(call, failure);
      }
      return toolFailed(call, await this.#callFailure(error));
    } finally {
      this.#watchers.delete(progressToken);
    }
  }

  /** Resolves when the server has answered; throws `upstream_unavailable` when it does not. */
  async ping(deadline: Deadline): Promise<void> {
    try {
      await this.#client.ping({ signal: deadline.signal, timeout: PING_MS });
    } catch (error) {
      // A server that does not know the request is there, too.
      if (!this.#isAnswer(error) || isTimeout(error)) throw await this.#noteTrouble(error);
    }
    this.#options.onAnswer();
  }

  /** Ends the session, and the process of a server that is one. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #shutDown(): Promise<void> {
    this.#client.onerror = () => {};
    await this.#link.close();
    await this.#client.close().catch(() => {});
  }

  async #callFailure(error: unknown): Promise<ToolFailure> {
    if (error instanceof z.core.$ZodError) {
      this.#options.onAnswer();
      return { code: 'tool_failed', message: 'The server answered with something that is not a tool result' };
    }
    if (isWorkcellError(error))
      return { code: 'tool_failed', message: `The answer of the server cannot be used: ${error.message}` };
    if (this.#isAnswer(error)) {
      this.#options.onAnswer();
      return this.#redacted({ code: 'tool_failed', message: shortened(wordsOf(error)) });
    }
    if (this.#loss === undefined && this.#closing !== undefined) {
      return { code: 'cancelled', message: 'The connection to the server was closed during the call' };
    }
    const trouble = await this.#troubleOf(error);
    this.#tellTrouble(trouble, error);
    return unavailableFailure(this.#options.name, trouble);
  }

  async #listingError(error: unknown): Promise<WorkcellError> {
    const { name } = this.#options;
    if (error instanceof z.core.$ZodError || isWorkcellError(error) || this.#isAnswer(error)) {
      const reason = error instanceof z.core.$ZodError ? 'it answered with something that is no list' : wordsOf(error);
      const words = withoutHostPath(this.#options.server, this.#redact(shortened(reason)));
      const message = `Cannot list the tools of MCP server "${name}": ${words}`;
      return new WorkcellError('protocol_error', message, { cause: error });
    }
    const trouble = await this.#troubleOf(error);
    this.#tellTrouble(trouble, error);
    return unavailable(name, trouble, this.#redact, error);
  }

  /** A call that takes too long says nothing about the server; that it answers nothing else, either, does. */
  async #checkHealth(): Promise<void> {
    using deadline = new Deadline(`Waiting for MCP server "${this.#options.name}"`, 2 * PING_MS);
    await this.ping(deadline).catch(() => {});
  }

  async #noteTrouble(error: unknown): Promise<WorkcellError> {
    const trouble = isTimeout(error)
      ? { reason: 'does not answer any more', detail: 'it does not answer any more, not even a ping', sent: true }
      : await this.#troubleOf(error);
    this.#tellTrouble(trouble, error);
    return unavailable(this.#options.name, trouble, this.#redact, error);
  }

  /** A loss is told by itself. */
  #tellTrouble(trouble: Trouble, error: unknown): void {
    if (this.#loss !== undefined || this.#closing !== undefined) return;
    if (trouble.answered === true) this.#options.onAnswer();
    else this.#options.onTrouble(unavailable(this.#options.name, trouble, this.#redact, error));
  }

  /**
   * The token under which the server tells of its progress. The SDK could hand out tokens itself, but it drops what arrives together
   * with the answer.
   */
  #watch(onProgress: OnProgress | undefined): number | undefined {
    if (onProgress === undefined) return undefined;
    this.#lastToken += 1;
    this.#watchers.set(this.#lastToken, onProgress);
    return this.#lastToken;
  }

  #progressed({ progressToken, progress, total, message }: Progress & { readonly progressToken: unknown }): void {
    const text = message === undefined ? undefined : this.#redact(shortened(message, 200));
    this.#watchers.get(progressToken)?.({
      progress,
      ...(total === undefined ? {} : { total }),
      ...(text === undefined ? {} : { message: withoutHostPath(this.#options.server, text) }),
    });
  }

  /** True for a JSON-RPC error of the server, false for the one that the SDK makes up when the transport is gone. */
  #isAnswer(error: unknown): error is McpError {
    return error instanceof McpError && this.#loss === undefined && this.#closing === undefined;
  }

  /** Why a request failed; by then it is settled whether the session is lost, so that the next call can rely on it. */
  async #troubleOf(error: unknown): Promise<Trouble> {
    if (!this.#link.noticesLoss) await this.#ping();
    const own = this.#link.explain(error);
    // Whether this request was sent is its own matter, whatever the ping that noticed the loss says.
    return this.#loss === undefined ? own : { ...this.#loss, sent: own.sent };
  }

  /** A failed request or a broken event stream does not tell whether the session is over; a ping does. */
  #ping(): Promise<void> {
    this.#pinging ??= this.#client
      .ping({ timeout: PING_MS })
      .catch((error) => this.#noteLoss(error))
      .then(() => {
        this.#pinging = undefined;
      });
    return this.#pinging;
  }

  #noteLoss(error: unknown): void {
    if (this.#loss !== undefined || this.#closing !== undefined || !this.#link.isLoss(error)) return;
    this.#loss = this.#link.explain(error);
    this.#options.onLost(unavailable(this.#options.name, this.#loss, this.#redact, error));
    // Requests in flight fail at once.
    void this.close();
  }

  #redacted(failure: ToolFailure): ToolFailure {
    return { ...failure, message: withoutHostPath(this.#options.server, this.#redact(failure.message)) };
  }
}

/** The timer of the SDK, which is set for pings alone. */
function isTimeout(error: unknown): boolean {
  return error instanceof McpError && error.code === ErrorCode.RequestTimeout;
}

function infoOf(server: string, client: Client): ServerInfo {
  const { name = server, version = '', title, description = title } = client.getServerVersion() ?? {};
  const instructions = client.getInstructions();
  return {
    name,
    version,
    ...(description === undefined ? {} : { description }),
    ...(instructions === undefined ? {} : { instructions }),
  };
}

function unavailableFailure(name: string, { reason, sent }: Trouble): ToolFailure {
  const effect = sent ? '; the call may have taken effect' : '';
  return { code: 'upstream_unavailable', message: `The MCP server "${name}" ${reason}${effect}`, retryable: !sent };
}

function unavailable(name: string, trouble: Trouble, redact: (text: string) => string, cause: unknown): WorkcellError {
  const message = `The MCP server "${name}" is not available: ${redact(trouble.detail)}`;
  return new WorkcellError('upstream_unavailable', message, {
    cause,
    details: { server: name, reason: trouble.reason },
  });
}

/** The server's own words, without the prefix of the SDK. */
function wordsOf(error: unknown): string {
  return messageOf(error).replace(/^(?:MCP error -?\d+: )+/, '');
}
