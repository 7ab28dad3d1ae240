import { setTimeout as pause } from 'node:timers/promises';
import { type Dispatcher, request } from 'undici';
import { ERRORS, type ErrorCode, messageOf, WorkcellError } from '../core/errors.ts';
import { fieldsOf } from '../core/fields.ts';

export interface TransportOptions {
  /** Of the server: `http://127.0.0.1:5555`. */
  readonly url: string;
  readonly apiKey: string;
  /** How often one request is sent at most. Default 5. */
  readonly attempts?: number;
  /** How long the server may be silent; default 60 s. */
  readonly silenceMs?: number;
  /** The undici dispatcher to send with; default the global one. */
  readonly dispatcher?: Dispatcher | undefined;
}

export interface ApiRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** From the root of the server, its parts escaped: see {@link pathOf}. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. A stream is sent once: there is no second one to send. */
  readonly body?: Dispatcher.DispatchOptions['body'];
  /** Whether it may be sent again when nobody knows if it has arrived. Default: all but POST. */
  readonly isRepeatable?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** Nothing was sent when one of these is the cause. */
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']);

/** A path of the API; whatever stands in a part, it stays one part. */
export function pathOf(strings: TemplateStringsArray, ...parts: readonly string[]): string {
  return String.raw({ raw: strings }, ...parts.map(encodeURIComponent));
}

/** Sends requests to a server, again where that is safe and may help. */
export class Transport {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /**
   * The answer of the server, its body unread. Throws what the server says in its problem document, `server_unreachable`, or the
   * reason of the signal.
   */
  async send(wanted: ApiRequest): Promise<Dispatcher.ResponseData> {
    const { attempts = 5 } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt >= attempts || isStream(wanted.body);
      try {
        const response = await this.#attempt(wanted);
        if (response.statusCode < 400) return response;
        const problem = await problemOf(response);
        if (isLast || !mayRepeatAfter(response.statusCode, wanted)) throw problem;
        await pause(pauseMs(attempt, response.headers['retry-after']), undefined, { signal: wanted.signal });
      } catch (error) {
        wanted.signal?.throwIfAborted();
        if (error instanceof WorkcellError) throw error;
        if (isLast || !mayRepeatUnanswered(error, wanted)) throw unreachable(error);
        await pause(pauseMs(attempt), undefined, { signal: wanted.signal });
      }
    }
  }

  /** The answer as JSON; undefined when there is none. */
  async json<T>(wanted: ApiRequest): Promise<T> {
    const { statusCode, body } = await this.send({
      ...wanted,
      headers: { accept: 'application/json', ...wanted.headers },
    });
    const text = await body.text().catch((error: unknown) => Promise.reject(unreachable(error)));
    return (statusCode === 204 || text === '' ? undefined : JSON.parse(text)) as T;
  }

  #attempt({
    method,
    path,
    query = {},
    headers = {},
    json,
    body,
    signal,
  }: ApiRequest): Promise<Dispatcher.ResponseData> {
    const { url, apiKey, silenceMs = 60_000, dispatcher } = this.#options;
    const address = new URL(path, url);
    for (const [name, value] of Object.entries(query))
      for (const each of [value ?? []].flat()) address.searchParams.append(name, String(each));
    const content = json === undefined ? (body ?? null) : JSON.stringify(json);
    return request(address, {
      method,
      headers: {
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
        authorization: `Bearer ${apiKey}`,
      },
      body: content as Dispatcher.DispatchOptions['body'] & string,
      headersTimeout: silenceMs,
      bodyTimeout: silenceMs,
      ...(signal === undefined ? {} : { signal }),
      ...(dispatcher === undefined ? {} : { dispatcher }),
    });
  }
}

/** The server has refused it without doing anything, or it does no harm twice. */
function mayRepeatAfter(status: number, wanted: ApiRequest): boolean {
  if (status === 429 || status === 503) return true;
  return (status === 502 || status === 504) && isRepeatable(wanted);
}

function mayRepeatUnanswered(error: unknown, wanted: ApiRequest): boolean {
  const { code } = error as { code?: unknown };
  return isRepeatable(wanted) || (typeof code === 'string' && NEVER_SENT.has(code));
}

function isRepeatable({ method, isRepeatable: given }: ApiRequest): boolean {
  return given ?? method !== 'POST';
}

function isStream(body: ApiRequest['body']): boolean {
  return body !== undefined && body !== null && typeof body !== 'string' && !ArrayBuffer.isView(body);
}

/** What the server asks for, or twice as long each time, and never all clients at once. */
function pauseMs(attempt: number, retryAfter?: string | string[]): number {
  const wanted = Number(retryAfter) * 1000;
  const backoff = FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + Math.random());
  return Math.min(MAX_PAUSE_MS, Number.isFinite(wanted) ? Math.max(wanted, backoff) : backoff);
}

/** RFC 9457; its `code` is one of ours unless the server is a newer one. */
async function problemOf({ statusCode, body }: Dispatcher.ResponseData): Promise<WorkcellError> {
  const text = await body.text().catch(() => '');
  const problem = fieldsOf(parsed(text));
  const { code, detail, requestId, details } = problem;
  const known = typeof code === 'string' && code in ERRORS ? (code as ErrorCode) : codeOf(statusCode);
  return new WorkcellError(
    known,
    typeof detail === 'string' ? detail : `The server answered with status ${statusCode}`,
    {
      details: { ...fieldsOf(details), status: statusCode, ...(requestId === undefined ? {} : { requestId }) },
    },
  );
}

function codeOf(status: number): ErrorCode {
  if (status >= 500) return 'server_unreachable';
  return status === 404 ? 'not_found' : 'protocol_error';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unreachable(error: unknown): WorkcellError {
  return new WorkcellError('server_unreachable', `The server cannot be reached: ${messageOf(error)}`, { cause: error });
}
