import { request } from 'undici';
import { ERRORS, type ErrorCode, WorkcellError } from '../core/errors.ts';
import {
  type CreateSandboxInput,
  errorResponseSchema,
  type SandboxResponse,
  sandboxMetricsSchema,
  sandboxResponseSchema,
} from '../protocol/rest.ts';
import type { Deadline } from '../util/deadline.ts';
import type { Secret } from '../util/secret.ts';

export interface MicrosandboxClientOptions {
  /** `http://127.0.0.1:5555` */
  readonly url: string;
  readonly apiKey: Secret;
}

/** The sandbox operations of a Microsandbox server, over HTTP. */
export class MicrosandboxClient {
  readonly url: string;
  readonly #apiKey: Secret;

  constructor(options: MicrosandboxClientOptions) {
    this.url = options.url.replace(/\/+$/, '');
    this.#apiKey = options.apiKey;
  }

  get headers(): Readonly<Record<string, string>> {
    return { authorization: `Bearer ${this.#apiKey.reveal()}` };
  }

  /** Creates a sandbox and waits until it runs. Throws `sandbox_boot_failed` when it does not come up. */
  async start(spec: CreateSandboxInput, deadline: Deadline): Promise<SandboxResponse> {
    const seconds = Math.max(1, Math.ceil(deadline.remainingMs / 1000));
    const path = `/v1/sandboxes?start=true&wait_for=running&wait_timeout=${Math.min(seconds, 600)}`;
    const sandbox = sandboxResponseSchema.parse(await this.#call('POST', path, deadline, spec));
    if (sandbox.status === 'running') return sandbox;
    const reason = sandbox.last_failure_message ?? `it is ${sandbox.status} after ${seconds} s`;
    await this.remove(sandbox.id, deadline).catch(() => {});
    throw new WorkcellError('sandbox_boot_failed', `Sandbox "${spec.name}" did not start: ${reason}`);
  }

  async remove(id: string, deadline: Deadline): Promise<void> {
    await this.#call('DELETE', `/v1/sandboxes/${encodeURIComponent(id)}`, deadline);
  }

  /** The CPU milliseconds that its guest has used; only servers of ours tell, of one that runs. */
  async cpuMs(id: string, deadline: Deadline): Promise<number> {
    const path = `/v1/sandboxes/${encodeURIComponent(id)}/metrics`;
    return sandboxMetricsSchema.parse(await this.#call('GET', path, deadline)).cpu_ms;
  }

  async #call(method: 'GET' | 'POST' | 'DELETE', path: string, deadline: Deadline, body?: unknown): Promise<unknown> {
    try {
      const response = await request(`${this.url}${path}`, {
        method,
        headers: { ...this.headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        body: body === undefined ? null : JSON.stringify(body),
        signal: deadline.signal,
        // The server answers when the sandbox runs; the deadline bounds the wait.
        headersTimeout: 0,
      });
      const answer: unknown = await response.body.json();
      if (response.statusCode < 300) return answer;
      throw toError(response.statusCode, answer);
    } catch (error) {
      deadline.check();
      if (error instanceof WorkcellError) throw error;
      throw new WorkcellError(
        'server_unreachable',
        `Cannot reach the Microsandbox server at ${this.url}: ${reasonOf(error)}`,
        { cause: error },
      );
    }
  }
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  invalid_request: 'invalid_argument',
  invalid_api_key: 'unauthenticated',
  sandbox_not_found: 'not_found',
  name_already_exists: 'already_exists',
  invalid_state_transition: 'invalid_state',
  rate_limited: 'busy',
  orchestrator_unreachable: 'sandbox_boot_failed',
};

function toError(status: number, answer: unknown): WorkcellError {
  const parsed = errorResponseSchema.safeParse(answer);
  if (!parsed.success)
    return new WorkcellError('protocol_error', `The Microsandbox server answered ${status} without saying why`);
  const { code, message } = parsed.data.error;
  const own = code in ERRORS ? (code as ErrorCode) : (CODES[code] ?? 'protocol_error');
  return new WorkcellError(own, message, { details: { status, code } });
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ECONNREFUSED' ? 'nobody listens there' : message;
}
