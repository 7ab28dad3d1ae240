import { isDeepStrictEqual } from 'node:util';
import { WorkcellError } from '../../core/errors.ts';
import { ANY_NAMESPACE, type SandboxConfig, type SandboxMetrics } from '../../protocol/json-rpc.ts';
import type { CreateSandboxRequest } from '../../protocol/rest.ts';
import { KeyedTurns } from '../../util/keyed-turns.ts';
import type { Sandbox } from '../sandbox.ts';
import type { RpcCaller } from './caller.ts';
import { measure } from './measure.ts';
import { LABEL, type NamedSandbox, registryName, toCreateRequest } from './sandbox-config.ts';

export interface StartRequest extends NamedSandbox {
  readonly config?: SandboxConfig | null | undefined;
}

/** Configurations that are kept of sandboxes, the latest ones: a sandbox can be started again without one. */
const MAX_REMEMBERED = 1000;

/** Sandboxes as the 0.2 line has them: named within a namespace, with a configuration that outlives a stop. */
export class RpcSandboxes {
  readonly #startTimeoutMs: number;
  /** What was started last under a name, the latest last; the original's `Sandboxfile`. */
  readonly #remembered = new Map<string, { readonly named: NamedSandbox; readonly request: CreateSandboxRequest }>();
  readonly #turns = new KeyedTurns();

  constructor(options: { readonly startTimeoutMs: number }) {
    this.#startTimeoutMs = options.startTimeoutMs;
  }

  /**
   * Resolves when the sandbox runs, and never before. Throws `invalid_state` for a running sandbox when the configuration
   * is another one, `not_found` without any configuration, `sandbox_boot_failed`, and what {@link toCreateRequest} throws.
   */
  start(caller: RpcCaller, { namespace, sandbox, config }: StartRequest): Promise<void> {
    const named = { namespace, sandbox };
    return this.#turns.take(keyOf(caller, named), () => this.#start(caller, named, config ?? undefined));
  }

  /** Stops it if it runs. Throws `not_found` for one that was never started. */
  stop(caller: RpcCaller, named: NamedSandbox): Promise<void> {
    const key = keyOf(caller, named);
    return this.#turns.take(key, async () => {
      const running = findOwn(caller, named);
      if (running !== undefined) await caller.sandboxes.remove(running);
      else if (!this.#remembered.has(key)) throw unknownSandbox(named);
    });
  }

  /** Throws `invalid_state` unless it runs. */
  getRunning(caller: RpcCaller, named: NamedSandbox): Sandbox {
    const sandbox = findOwn(caller, named);
    if (sandbox?.status === 'running') return sandbox;
    const state = sandbox === undefined ? 'not running' : sandbox.status;
    throw new WorkcellError('invalid_state', `Sandbox "${named.sandbox}" is ${state}; start it first`);
  }

  /** Of one sandbox or all, in one namespace or all; also of those that are stopped. */
  async metrics(caller: RpcCaller, namespace: string, sandbox?: string | null): Promise<readonly SandboxMetrics[]> {
    const labels = {
      ...(namespace === ANY_NAMESPACE ? {} : { [LABEL.namespace]: namespace }),
      ...(sandbox ? { [LABEL.sandbox]: sandbox } : {}),
    };
    const present = caller.sandboxes.list(labels).filter(({ request }) => LABEL.sandbox in request.labels);
    const measured = await Promise.all(present.map(measure));
    const seen = new Set(measured.map((each) => keyOf(caller, { namespace: each.namespace, sandbox: each.name })));
    const stopped = [...this.#remembered]
      .filter(([key, { named }]) => key === keyOf(caller, named) && !seen.has(key))
      .map(([, { named }]) => named)
      .filter((named) => namespace === ANY_NAMESPACE || named.namespace === namespace)
      .filter((named) => !sandbox || named.sandbox === sandbox)
      .map((named) => ({ ...STOPPED, namespace: named.namespace, name: named.sandbox }));
    return [...measured, ...stopped];
  }

  async #start(caller: RpcCaller, named: NamedSandbox, config: SandboxConfig | undefined): Promise<void> {
    const request = this.#requestFor(caller, named, config);
    const present = findOwn(caller, named);
    if (present?.status === 'running') {
      const current = this.#remembered.get(keyOf(caller, named))?.request ?? present.request;
      if (isDeepStrictEqual(current, request)) return;
      throw new WorkcellError(
        'invalid_state',
        `Sandbox "${named.sandbox}" runs already with another configuration; stop it first`,
      );
    }
    if (present !== undefined) await caller.sandboxes.remove(present);
    const sandbox = await caller.sandboxes.create(request);
    try {
      await caller.sandboxes.start(sandbox);
      await this.#awaitRunning(sandbox, named);
      this.#remember(keyOf(caller, named), named, request);
    } catch (error) {
      await caller.sandboxes.remove(sandbox).catch(() => {});
      throw error;
    }
  }

  /** A configuration counts when it names an image, as in the original; one that does not is refused and not ignored. */
  #requestFor(caller: RpcCaller, named: NamedSandbox, config: SandboxConfig | undefined): CreateSandboxRequest {
    if (config?.image) return toCreateRequest(named, { ...config, image: config.image }, caller.mayBind);
    if (config !== undefined && !isEmpty(config))
      throw new WorkcellError('invalid_argument', 'A configuration needs "image"; give the whole of it, or none');
    const remembered = this.#remembered.get(keyOf(caller, named))?.request;
    if (remembered !== undefined) return remembered;
    throw unknownSandbox(named);
  }

  async #awaitRunning(sandbox: Sandbox, { sandbox: name }: NamedSandbox): Promise<void> {
    await sandbox.waitUntilStarted(this.#startTimeoutMs);
    if (sandbox.status === 'running') return;
    const reason = sandbox.describe().last_failure_message ?? `it is ${sandbox.status} after the time for a start`;
    throw new WorkcellError('sandbox_boot_failed', `Sandbox "${name}" did not start: ${reason}`);
  }

  #remember(key: string, named: NamedSandbox, request: CreateSandboxRequest): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, { named, request });
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= MAX_REMEMBERED) break;
      this.#remembered.delete(oldest);
    }
  }
}

const STOPPED = { running: false, cpu_usage: null, memory_usage: null, disk_usage: null };

function keyOf({ orgId }: RpcCaller, named: NamedSandbox): string {
  return `${orgId}/${registryName(named)}`;
}

/** One that was created through another interface under such a name is not ours to run programs in, or to stop. */
function findOwn({ sandboxes }: RpcCaller, named: NamedSandbox): Sandbox | undefined {
  const sandbox = sandboxes.find(registryName(named));
  return sandbox?.request.labels[LABEL.sandbox] === named.sandbox ? sandbox : undefined;
}

function isEmpty(config: SandboxConfig): boolean {
  return Object.values(config).every(
    (value) => value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0),
  );
}

function unknownSandbox({ namespace, sandbox }: NamedSandbox): WorkcellError {
  return new WorkcellError(
    'not_found',
    `There is no sandbox "${sandbox}" in namespace "${namespace}"; start it with a configuration that names an image`,
  );
}
