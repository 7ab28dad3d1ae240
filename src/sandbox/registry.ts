import { WorkcellError } from '../core/errors.ts';
import type { CreateSandboxRequest, Page, SandboxResponse } from '../protocol/rest.ts';
import { toGuestSpec } from './guest-spec.ts';
import { Sandbox, type SandboxOptions } from './sandbox.ts';

export interface ListOptions {
  readonly cursor?: string | undefined;
  readonly limit: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** All sandboxes of a server, by id and by name. */
export class SandboxRegistry implements AsyncDisposable {
  readonly #options: Omit<SandboxOptions, 'onEphemeralEnd'>;
  readonly #sandboxes = new Map<string, Sandbox>();
  #closing = false;

  constructor(options: Omit<SandboxOptions, 'onEphemeralEnd'>) {
    this.#options = options;
  }

  /** Throws `already_exists`, and `unsupported` for what no guest of this server can be given. */
  async create(request: CreateSandboxRequest): Promise<Sandbox> {
    if (this.#closing) throw new WorkcellError('invalid_state', 'This server is shutting down');
    if (this.#find(request.name) !== undefined)
      throw new WorkcellError('already_exists', `A sandbox named "${request.name}" exists already`);
    const sandbox: Sandbox = new Sandbox(request, {
      ...this.#options,
      onEphemeralEnd: () => this.#sandboxes.delete(sandbox.id),
    });
    // Reserved before anything is awaited, so that of two requests for one name only one can win.
    this.#sandboxes.set(sandbox.id, sandbox);
    try {
      await toGuestSpec(sandbox.id, request, this.#options);
      return sandbox;
    } catch (error) {
      this.#sandboxes.delete(sandbox.id);
      throw error;
    }
  }

  /** Throws `not_found`. */
  get(id: string): Sandbox {
    return this.#sandboxes.get(id) ?? notFound();
  }

  getByName(name: string): Sandbox {
    return this.#find(name) ?? notFound();
  }

  /** In the order of creation; a cursor is the id of the last one that was seen. Throws `invalid_argument` when it is gone. */
  list({ cursor, limit, labels }: ListOptions): Page<SandboxResponse> {
    const all = [...this.#sandboxes.values()].filter(({ request }) =>
      Object.entries(labels).every(([key, value]) => request.labels[key] === value),
    );
    const start = cursor === undefined ? 0 : all.findIndex(({ id }) => id === cursor) + 1;
    if (cursor !== undefined && start === 0)
      throw new WorkcellError('invalid_argument', 'There is no sandbox at this cursor any more; list from the start');
    const page = all.slice(start, start + limit);
    const more = start + limit < all.length;
    return {
      data: page.map((sandbox) => sandbox.describe()),
      has_more: more,
      next_cursor: more ? (page.at(-1)?.id ?? null) : null,
    };
  }

  /** Stops the sandbox if it runs, and forgets it. */
  async remove(sandbox: Sandbox): Promise<void> {
    await sandbox.end();
    this.#sandboxes.delete(sandbox.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await Promise.allSettled([...this.#sandboxes.values()].map((sandbox) => this.remove(sandbox)));
  }

  #find(name: string): Sandbox | undefined {
    return this.#sandboxes.values().find(({ request }) => request.name === name);
  }
}

function notFound(): never {
  throw new WorkcellError('not_found', 'There is no such sandbox');
}
