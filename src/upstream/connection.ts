import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { McpError } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import { type ToolFailure, type ToolOutcome, toolFailed } from '../core/tool-error.ts';
import type { Deadline } from '../util/deadline.ts';
import { HttpLink } from './http-link.ts';
import type { Link, Trouble } from './link.ts';
import { listTools, toolPageSchema } from './list-tools.ts';
import { redactor, withoutHostPath } from './redact.ts';
import { StdioLink } from './stdio-link.ts';
import { callResultSchema, resultFailure, resultValue, shortened } from './tool-result.ts';
import type { ServerInfo, UpstreamServer, UpstreamTool } from './upstream-server.ts';

/** How this client names itself to servers. */
const CLIENT = { name: 'workcell', version: '0.1.0' };
/** Requests are bounded by their deadline's signal; the SDK's own timer is set beyond any of them. */
const NO_TIMER = 2 ** 31 - 1;
const PING_MS = 5_000;

export interface ConnectionOptions {
  readonly name: string;
  readonly server: UpstreamServer;
  /** Told once, at once, when the session is lost; never after `close`. */
  readonly onLost: (error: WorkcellError) => void;
}

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

  /** Throws `upstream_unavailable` that says what to repair; nothing is left running then. */
  static async open(options: ConnectionOptions, deadline: Deadline): Promise<Connection> {
    const { name, server } = options;
    const link = server.kind === 'stdio' ? new StdioLink(server) : new HttpLink(server);
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
  }

  /** Throws `upstream_unavailable`, `protocol_error` or what ended the deadline. */
  async listTools(deadline: Deadline): Promise<readonly UpstreamTool[]> {
    if (this.#client.getServerCapabilities()?.tools === undefined) return [];
    const options = { signal: deadline.signal, timeout: NO_TIMER };
    try {
      return await listTools((cursor) => {
        const params = cursor === undefined ? {} : { cursor };
        return this.#client.request({ method: 'tools/list', params }, toolPageSchema, options);
      });
    } catch (error) {
      deadline.check();
      throw await this.#listingError(error);
    }
  }

  /** Sends the call once, whatever happens to it. When the deadline ends first, the server is told to cancel it. */
  async callTool(tool: string, args: Readonly<Record<string, unknown>>, deadline: Deadline): Promise<ToolOutcome> {
    const call = { server: this.#options.name, tool };
    const options = { signal: deadline.signal, timeout: NO_TIMER };
    try {
      const request = { method: 'tools/call', params: { name: tool, arguments: args } } as const;
      const result = await this.#client.request(request, callResultSchema, options);
      if (!result.isError) return { ok: true, value: resultValue(result) };
      return toolFailed(call, this.#redacted(resultFailure(result)));
    } catch (error) {
      if (deadline.signal.aborted) return toolFailed(call, endedFailure(deadline.signal.reason, true));
      return toolFailed(call, await this.#callFailure(error));
    }
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
      return { code: 'tool_failed', message: 'The server answered with something that is not a tool result' };
    }
    if (this.#isAnswer(error)) return this.#redacted({ code: 'tool_failed', message: shortened(wordsOf(error)) });
    if (this.#loss === undefined && this.#closing !== undefined) {
      return { code: 'cancelled', message: 'The connection to the server was closed during the call' };
    }
    return unavailableFailure(this.#options.name, await this.#troubleOf(error));
  }

  async #listingError(error: unknown): Promise<WorkcellError> {
    const { name } = this.#options;
    if (error instanceof z.core.$ZodError || isWorkcellError(error) || this.#isAnswer(error)) {
      const reason = error instanceof z.core.$ZodError ? 'it answered with something that is no list' : wordsOf(error);
      const message = `Cannot list the tools of MCP server "${name}": ${this.#redact(shortened(reason))}`;
      return new WorkcellError('protocol_error', message, { cause: error });
    }
    return unavailable(name, await this.#troubleOf(error), this.#redact, error);
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

/** The failure of a call whose deadline ended; `reason` is the deadline's. */
export function endedFailure(reason: unknown, sent: boolean): ToolFailure {
  const isTimeout = isWorkcellError(reason) && reason.code === 'deadline_exceeded';
  return { code: isTimeout ? 'timeout' : 'cancelled', message: messageOf(reason), retryable: isTimeout && !sent };
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
