import { request } from 'undici';
import { ERRORS, type ErrorCode, messageOf, WorkcellError } from '../../core/errors.ts';
import { commandResultSchema, RPC_PATH, rpcAnswerSchema, type SandboxConfig } from '../../protocol/json-rpc.ts';
import type { MicrosandboxClientOptions } from '../microsandbox-client.ts';

/** A sandbox of a 0.2 server. */
export interface RpcName {
  readonly namespace: string;
  readonly sandbox: string;
}

export interface RpcCommandResult {
  readonly exitCode: number;
  /** What the server has passed on of the output; the original may drop its last lines. */
  readonly output: string;
}

/** Of one answer; what programs return comes through files. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** What the original hides behind "Internal server error", by method: the code for it, and what is likely. */
const MASKED: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  'sandbox.start': [
    'sandbox_boot_failed',
    'likely the image cannot be pulled, /dev/kvm cannot be used, or a mounted folder does not exist on its host',
  ],
  'sandbox.stop': ['protocol_error', 'likely there is no such sandbox'],
  'sandbox.command.run': [
    'sandbox_lost',
    'likely the sandbox has ended, its image has no portal, or the command is not in the image',
  ],
};

/** The methods of a Microsandbox 0.2 server that running programs takes. Every call ends when its signal fires. */
export class RpcClient {
  readonly #options: MicrosandboxClientOptions;

  constructor(options: MicrosandboxClientOptions) {
    this.#options = options;
  }

  /** That it resolves does not mean that the sandbox runs: the original says the same when it gave up waiting. */
  async start(name: RpcName, config: Partial<SandboxConfig>, signal: AbortSignal): Promise<void> {
    await this.#call('sandbox.start', { ...name, config }, signal);
  }

  async stop(name: RpcName, signal: AbortSignal): Promise<void> {
    await this.#call('sandbox.stop', name, signal);
  }

  /** Resolves when the command has ended. */
  async runCommand(
    name: RpcName,
    command: { readonly command: string; readonly args: readonly string[]; readonly timeout?: number },
    signal: AbortSignal,
  ): Promise<RpcCommandResult> {
    const result = commandResultSchema.safeParse(
      await this.#call('sandbox.command.run', { ...name, ...command }, signal),
    );
    if (!result.success)
      throw new WorkcellError('protocol_error', 'The result of sandbox.command.run is not that of a 0.2 server');
    const { exit_code: exitCode, output } = result.data;
    return { exitCode, output: typeof output === 'string' ? output : output.map(({ text }) => text).join('\n') };
  }

  async #call(method: string, params: unknown, signal: AbortSignal): Promise<unknown> {
    const { status, text } = await this.#post(JSON.stringify({ jsonrpc: '2.0', id: '1', method, params }), signal);
    const answer = rpcAnswerSchema.safeParse(parseJson(text));
    if (!answer.success || (answer.data.error == null && status >= 300))
      throw new WorkcellError(
        'protocol_error',
        `The server at ${this.#options.url} answered ${method} with ${status} and no JSON-RPC; is it one of the 0.2 line?`,
      );
    const { error, result } = answer.data;
    if (error == null) return result;
    throw toError(method, status, error);
  }

  async #post(body: string, signal: AbortSignal): Promise<{ status: number; text: string }> {
    const { url, apiKey } = this.#options;
    try {
      const response = await request(`${url.replace(/\/+$/, '')}${RPC_PATH}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey.reveal()}` },
        body,
        signal,
        // Starts and commands take as long as they take; the signal bounds them.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        bytes += chunk.byteLength;
        if (bytes > MAX_ANSWER_BYTES)
          throw new WorkcellError('protocol_error', 'The answer of the server is too large');
        chunks.push(chunk);
      }
      return { status: response.statusCode, text: Buffer.concat(chunks).toString('utf8') };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof WorkcellError) throw error;
      throw new WorkcellError(
        'server_unreachable',
        `Cannot reach the Microsandbox server at ${url}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

type AnswerError = string | { readonly code: number; readonly message: string; readonly data?: unknown };

/** A server that tells the reason is believed; one that hides it gets the likely ones. */
function toError(method: string, status: number, error: AnswerError): WorkcellError {
  const details = { method, status };
  const message = typeof error === 'string' ? error : error.message;
  if (status === 401)
    return new WorkcellError('unauthenticated', `The server refused the API key: ${message}`, { details });
  if (status === 403) return new WorkcellError('forbidden', `The server refused ${method}: ${message}`, { details });
  const reason = typeof error === 'string' ? undefined : (error.data as { reason?: unknown } | undefined)?.reason;
  if (typeof reason === 'string' && reason in ERRORS)
    return new WorkcellError(reason as ErrorCode, `${method} failed: ${message}`, { details });
  if (status < 500)
    return new WorkcellError('invalid_argument', `The server refused ${method}: ${message}`, { details });
  const [code, likely] = MASKED[method] ?? ['protocol_error', 'its log may say why'];
  return new WorkcellError(
    code,
    `${method} failed, and the server says only "${message}": ${likely}; its log has the reason`,
    { details },
  );
}
