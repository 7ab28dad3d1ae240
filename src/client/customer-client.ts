import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { WorkcellError } from '../core/errors.ts';
import { type FollowOptions, followExecution } from './follow-execution.ts';
import type {
  ExecuteRequest,
  ExecutionSummary,
  HistoryEvent,
  ImportedSession,
  RecordedResult,
  UnpackedArchive,
} from './operations.ts';
import { type ApiRequest, pathOf, type Transport } from './transport.ts';

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ReadFileOptions extends RequestOptions {
  /** Bytes, both ends included; `end` undefined is the last one. */
  readonly range?: { readonly start: number; readonly end?: number | undefined } | undefined;
}

export interface WriteFileOptions extends RequestOptions {
  /** Only when the file has this version still; throws `precondition_failed` otherwise. */
  readonly ifMatch?: string | undefined;
  /** Only when there is no file yet. */
  readonly isNew?: boolean | undefined;
}

export interface ExportSessionOptions extends RequestOptions {
  /** Whether the files of the workspace go with it. Default true. */
  readonly files?: boolean | undefined;
  /** Encrypts the archive: at least 8 characters. */
  readonly passphrase?: string | undefined;
  /** Lets a session that is encrypted on the server be exported without one. */
  readonly plain?: boolean | undefined;
}

export interface ImportSessionOptions extends RequestOptions {
  /** The id that it gets. Default: the one that it had. */
  readonly as?: string | undefined;
  /** Whether the files in it are taken. Default true. */
  readonly files?: boolean | undefined;
  /** Whether files of the same names are replaced. Default false: that is `already_exists`. */
  readonly overwrite?: boolean | undefined;
  readonly passphrase?: string | undefined;
}

type Archive = AsyncIterable<Uint8Array>;
type Content = string | Uint8Array | AsyncIterable<Uint8Array>;

/** What is done for one customer, beyond single requests: executions to their end, files, archives. */
export class CustomerClient {
  readonly id: string;
  readonly #transport: Transport;

  constructor(transport: Transport, id: string) {
    this.#transport = transport;
    this.id = id;
  }

  /**
   * Runs a program to its end, also over connections that break meanwhile. A call that waits for an approval is waited for, however
   * long: {@link stream} tells of it.
   */
  async execute(request: ExecuteRequest, options: RequestOptions = {}): Promise<RecordedResult> {
    let result: RecordedResult | undefined;
    for await (const event of this.stream(request, options)) if (event.type === 'finished') result = event.result;
    if (result !== undefined) return result;
    throw new WorkcellError('protocol_error', 'The execution was told to its end, and had none');
  }

  /** Runs a program, and tells what happens, each event once. Leaving the loop does not end the program: {@link cancel} does. */
  async *stream(request: ExecuteRequest, { signal }: RequestOptions = {}): AsyncGenerator<HistoryEvent> {
    // With an id of its own the request can be sent again: it is the same execution.
    const named = { ...request, executionId: request.executionId ?? `exe_${randomUUID().replaceAll('-', '')}` };
    const first = await this.#transport.send({
      method: 'POST',
      path: pathOf`/customers/${this.id}/executions`,
      json: named,
      headers: { accept: 'application/x-ndjson' },
      isRepeatable: true,
      signal,
    });
    yield* followExecution(this.#transport, this.#execution(named.executionId), { signal }, first);
  }

  /** What happens in an execution after the event `after`, up to its end. */
  follow(executionId: string, options: FollowOptions = {}): AsyncGenerator<HistoryEvent> {
    return followExecution(this.#transport, this.#execution(executionId), options);
  }

  execution(executionId: string, { signal }: RequestOptions = {}): Promise<ExecutionSummary> {
    return this.#transport.json({ method: 'GET', path: this.#execution(executionId), signal });
  }

  /** Ends a program; one that has ended stays as it is. */
  async cancel(executionId: string, { signal }: RequestOptions = {}): Promise<void> {
    await this.#transport.json({ method: 'DELETE', path: this.#execution(executionId), signal });
  }

  /** The content of a file; its version is in `version`. */
  async readFile(
    path: string,
    { range, signal }: ReadFileOptions = {},
  ): Promise<{ bytes: Uint8Array; version: string }> {
    const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end ?? ''}` };
    const request = { method: 'GET', path: this.#file(path), headers, signal } as const;
    const { bytes, headers: told } = await this.#transport.bytes(request);
    return { bytes, version: versionIn(told) };
  }

  /** Writes a file as a whole, or not at all; gives its new version. A stream is sent once. */
  async writeFile(path: string, content: Content, options: WriteFileOptions = {}): Promise<string> {
    const { ifMatch, isNew = false, signal } = options;
    const { body, headers } = await this.#transport.send({
      method: 'PUT',
      path: this.#file(path),
      headers: {
        'content-type': 'application/octet-stream',
        ...(ifMatch === undefined ? {} : { 'if-match': `"${ifMatch}"` }),
        ...(isNew ? { 'if-none-match': '*' } : {}),
      },
      body: content as ApiRequest['body'],
      // Of two that were sent, the second would find the version of the first.
      isRepeatable: ifMatch === undefined && !isNew,
      signal,
    });
    // It is written, whatever becomes of the rest of the answer.
    await body.dump().catch(() => {});
    return versionIn(headers);
  }

  async removeFile(path: string, { signal }: RequestOptions = {}): Promise<void> {
    await this.#transport.json({ method: 'DELETE', path: this.#file(path), signal });
  }

  /** A session as a file that another server can import. */
  async exportSession(sessionId: string, options: ExportSessionOptions = {}): Promise<Archive> {
    const { files, plain, passphrase, signal } = options;
    const path = pathOf`/customers/${this.id}/sessions/${sessionId}/export`;
    const request = { method: 'GET', path, query: { files, plain }, headers: sealedWith(passphrase), signal } as const;
    return await this.#transport.stream(request);
  }

  /** Makes a session of what {@link exportSession} gave, with all that it holds or not at all. */
  async importSession(archive: Archive, options: ImportSessionOptions = {}): Promise<ImportedSession> {
    const { as, files, overwrite, passphrase, signal } = options;
    const path = pathOf`/customers/${this.id}/sessions/import`;
    const headers = sealedWith(passphrase);
    return await this.#upload<ImportedSession>({ path, query: { as, files, overwrite }, headers, signal }, archive);
  }

  /** A folder of the workspace as a tar; default all of it. */
  async downloadArchive(folder = '', { signal }: RequestOptions = {}): Promise<Archive> {
    const path = pathOf`/customers/${this.id}/archive`;
    return await this.#transport.stream({ method: 'GET', path, query: { path: folder }, signal });
  }

  /** Adds what is in a tar or tar.gz to a folder of the workspace, all of it or nothing. */
  async uploadArchive(archive: Archive, folder = '', { signal }: RequestOptions = {}): Promise<UnpackedArchive> {
    const path = pathOf`/customers/${this.id}/archive`;
    return await this.#upload<UnpackedArchive>({ path, query: { path: folder }, signal }, archive);
  }

  #upload<T>(request: Omit<ApiRequest, 'method'>, archive: Archive): Promise<T> {
    const headers = { 'content-type': 'application/octet-stream', ...request.headers };
    return this.#transport.json<T>({ ...request, method: 'POST', headers, body: Readable.from(archive) });
  }

  #execution(executionId: string): string {
    return pathOf`/customers/${this.id}/executions/${executionId}`;
  }

  #file(path: string): string {
    return `${pathOf`/customers/${this.id}/files/`}${path.split('/').map(encodeURIComponent).join('/')}`;
  }
}

function versionIn({ etag }: Readonly<Record<string, string | string[] | undefined>>): string {
  return String(etag ?? '').replace(/^"|"$/g, '');
}

function sealedWith(passphrase: string | undefined): Readonly<Record<string, string>> {
  return passphrase === undefined ? {} : { 'x-passphrase': passphrase };
}
