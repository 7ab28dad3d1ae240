import { StreamableHTTPClientTransport, StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { FetchLike } from '@modelcontextprotocol/sdk/shared/transport.js';
import { Agent, fetch } from 'undici';
import { isWorkcellError, messageOf } from '../core/errors.ts';
import { formatSize } from '../core/units.ts';
import type { Link, Trouble } from './link.ts';
import { shortened } from './tool-result.ts';
import type { HttpServer } from './upstream-server.ts';

/** Bytes of one answer; of an event stream, bytes after which it is opened anew. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;
/** How long a server has to hear that its session is over. */
const GOODBYE_MS = 1_000;

/** A link to a streamable HTTP endpoint. */
export class HttpLink implements Link {
  readonly transport: StreamableHTTPClientTransport;
  readonly noticesLoss = false;
  readonly #url: URL;
  readonly #agent = httpAgent();
  #closing: Promise<void> | undefined;

  constructor(server: HttpServer) {
    this.#url = new URL(server.url);
    this.transport = new StreamableHTTPClientTransport(this.#url, httpOptions(server, this.#agent));
  }

  /** `fetch` failed, or the server does not know the session; one that answers otherwise is there, if late or busy. */
  isLoss(error: unknown): boolean {
    if (error instanceof StreamableHTTPError) return [400, 401, 403, 404].includes(error.code ?? 0);
    return error instanceof TypeError;
  }

  explain(error: unknown): Trouble {
    const status = error instanceof StreamableHTTPError ? error.code : undefined;
    return explainHttp(this.#url, error, status);
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #shutDown(): Promise<void> {
    const timer = setTimeout(() => void this.#agent.destroy(), GOODBYE_MS);
    await this.transport.terminateSession().catch(() => {});
    clearTimeout(timer);
    await this.transport.close();
    await this.#agent.destroy();
  }
}

/** Whether connecting was answered as an endpoint answers that knows only the HTTP+SSE transport of before. */
export function wantsOldTransport(error: unknown): boolean {
  return error instanceof StreamableHTTPError && [400, 404, 405].includes(error.code ?? 0);
}

/** Every request is bounded by the deadline of its caller; undici's own timeouts would cut an idle event stream. */
export function httpAgent(): Agent {
  return new Agent({ headersTimeout: 0, bodyTimeout: 0, maxResponseSize: MAX_RESPONSE_BYTES });
}

/** What the transports of the SDK need to send a server's headers over this agent. */
export function httpOptions(
  server: HttpServer,
  agent: Agent,
): { readonly requestInit: { readonly headers: Record<string, string> }; readonly fetch: FetchLike } {
  const headers = Object.fromEntries(Object.entries(server.headers).map(([name, value]) => [name, value.reveal()]));
  return {
    requestInit: { headers },
    fetch: (url, init) => fetch(url, { ...(init as object | undefined), dispatcher: agent }) as ReturnType<FetchLike>,
  };
}

/** Why a request over HTTP failed; `status` when it was answered with one. */
export function explainHttp(url: URL, error: unknown, status: number | undefined): Trouble {
  // A query can hold a key.
  const place = `${url.origin}${url.pathname}`;
  if (status !== undefined && status > 0) {
    const reason = `answered HTTP ${status}`;
    const hint = HINTS[status] ?? 'check its "url"';
    const detail = `${place} ${reason} (${shortened(messageOf(error), 300)}); ${hint}`;
    return { reason, detail, sent: status >= 500, answered: status < 500 };
  }
  const cause = error instanceof TypeError && error.cause !== undefined ? error.cause : error;
  const code = isWorkcellError(cause) ? undefined : (cause as NodeJS.ErrnoException).code;
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    const reason = `answered with more than ${formatSize(MAX_RESPONSE_BYTES)}`;
    return { reason, sent: true, answered: true, detail: `${place} ${reason}` };
  }
  if (typeof code === 'string') {
    const reason = 'could not be reached';
    return { reason, sent: !NEVER_SENT.has(code), detail: `${place} ${reason}: ${code}` };
  }
  return { reason: 'did not answer', sent: true, detail: `${place} did not answer: ${messageOf(cause)}` };
}

const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

const HINTS: Readonly<Record<number, string>> = {
  401: 'check its "headers"',
  403: 'check its "headers"',
  429: 'it is asked too often',
};
