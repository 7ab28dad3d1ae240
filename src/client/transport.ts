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
/** What a server may ask for: whoever calls decides on a longer wait. */
const MAX_RETRY_AFTER_S = 60;
/** Nothing was sent when one of these is the cause. */
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']);

/** A path of the API; whatever stands in a part, it stays one part. */
export function pathOf(strings: TemplateStringsArray, ...parts: readonly string[]): string {
  return String.raw({ raw: strings }, ...parts.map(encodeURIComponent));
}

/** Sends requests to a server, again where that is safe and may help soon. */
export class Transport {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /**
   * The answer of the server, its body unread. Throws what the server says in its problem document, `server_unreachable`, or the
   * reason of the signal.
   */
  send(wanted: ApiRequest): Promise<Dispatcher.ResponseData> {
    return this.#exchange(wanted, async (response) => response);
  }

  /** The answer as JSON; undefined when there is none. Throws as {@link send} does, and `protocol_error` for what is no JSON. */
  async json<T>(wanted: ApiRequest): Promise<T> {
    const headers = { accept: 'application/json', ...wanted.headers };
    const text = await this.#exchange({ ...wanted, headers }, ({ body }) => body.text());
    return (text === '' ? undefined : parseJson(text)) as T;
  }

  /** The answer with all of its body. Throws as {@link send} does. */
  bytes(wanted: ApiRequest): Promise<{ bytes: Uint8Array; headers: Dispatcher.ResponseData['headers'] }> {
    return this.#exchange(wanted, async ({ body, headers }) => ({ bytes: await body.bytes(), headers }));
  }

  /** The body of the answer, as it comes. Throws as {@link send} does, also while it is read: then it is not whole. */
  async stream(wanted: ApiRequest): Promise<AsyncIterable<Uint8Array>> {
    const { body } = await this.send(wanted);
    return (async function* () {
      try {
        yield* body as AsyncIterable<Uint8Array>;
      } catch (error) {
        wanted.signal?.throwIfAborted();
        throw unreachable(error);
      }
    })();
  }

  /** Sends a request, perhaps more than once, and takes of the answer what is wanted. */
  async #exchange<T>(wanted: ApiRequest, take: (response: Dispatcher.ResponseData) => Promise<T>): Promise<T> {
    const { attempts = 5 } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt >= attempts || isStream(wanted.body);
      let wait = pauseMs(attempt);
      try {
        const response = await this.#attempt(wanted);
        if (response.statusCode < 400) return await take(response);
        const problem = await problemOf(response);
        const asked = secondsOf(response.headers['retry-after']);
        if (isLast || !mayRepeatAfter(problem, asked, wanted)) throw problem;
        wait = Math.max(wait, (asked ?? 0) * 1000);
      } catch (error) {
        wanted.signal?.throwIfAborted();
        if (error instanceof WorkcellError) throw error;
        if (isLast || !mayRepeatUnanswered(error, wanted)) throw unreachable(error);
      }
      await pauseFor(wait, wanted.signal);
    }
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

/** The server has refused it without doing anything, or it does no harm twice; and it may help soon. */
function mayRepeatAfter(
  { code, details, retryable }: WorkcellError,
  asked: number | undefined,
  wanted: ApiRequest,
): boolean {
  if (!retryable || (asked ?? 0) > MAX_RETRY_AFTER_S) return false;
  // By waiting alone, such a quota does not get larger.
  if (code === 'quota_exceeded' && asked === undefined) return false;
  const { status } = details;
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

/** Twice as long each time, and never all clients at once. */
function pauseMs(attempt: number): number {
  return Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + Math.random()));
}

/** Of a `Retry-After`; undefined also for the other form of it, a date. */
function secondsOf(retryAfter: string | string[] | undefined): number | undefined {
  const seconds = Number(retryAfter ?? '-');
  return Number.isFinite(seconds) ? seconds : undefined;
}

/** Throws the reason of the signal. */
export async function pauseFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await pause(ms, undefined, { signal }).catch(() => {});
  signal?.throwIfAborted();
}

/** RFC 9457; its `code` is one of ours unless the server is a newer one. */
async function problemOf({ statusCode, body }: Dispatcher.ResponseData): Promise<WorkcellError> {
  // A proxy may answer, in words of its own.
  const problem = fieldsOf(await body.json().catch(() => undefined));
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
  if (status === 429) return 'busy';
  return status === 404 ? 'not_found' : 'protocol_error';
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WorkcellError('protocol_error', `The answer of the server is not JSON: ${messageOf(error)}`);
  }
}

function unreachable(error: unknown): WorkcellError {
  return new WorkcellError('server_unreachable', `The server cannot be reached: ${messageOf(error)}`, { cause: error });
}
