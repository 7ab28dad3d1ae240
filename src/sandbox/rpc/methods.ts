import { z } from 'zod';
import { WorkcellError } from '../../core/errors.ts';
import {
  ANY_NAMESPACE,
  type CommandResult,
  commandParamsSchema,
  DEFAULT_NAMESPACE,
  metricsParamsSchema,
  type ReplResult,
  replParamsSchema,
  type SandboxMetrics,
  startParamsSchema,
  stopParamsSchema,
} from '../../protocol/json-rpc.ts';
import type { RpcCaller } from './caller.ts';
import { GuestSessions } from './guest-session.ts';
import { parseLanguage } from './language.ts';
import type { RunLimits } from './repl.ts';
import { RpcSandboxes } from './rpc-sandboxes.ts';
import { runCommand } from './run-command.ts';

export interface RpcCall {
  readonly method: string;
  readonly params: unknown;
  readonly caller: RpcCaller;
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal;
}

type Method = (params: unknown, call: RpcCall) => Promise<unknown>;

/** The methods of both generations: 0.1 to 0.2.1, and 0.2.2 to 0.2.6. */
export class RpcMethods {
  readonly #sandboxes: RpcSandboxes;
  readonly #sessions = new GuestSessions();
  readonly #methods: ReadonlyMap<string, Method>;

  constructor(options: { readonly startTimeoutMs: number }) {
    this.#sandboxes = new RpcSandboxes(options);
    const [metrics, command] = [this.#metrics.bind(this), this.#command.bind(this)];
    this.#methods = new Map<string, Method>([
      ['sandbox.start', this.#start.bind(this)],
      ['sandbox.stop', this.#stop.bind(this)],
      ['sandbox.metrics.get', metrics],
      ['sandbox.getStatus', metrics],
      ['sandbox.repl.run', this.#repl.bind(this)],
      ['sandbox.command.run', command],
      ['sandbox.command.execute', command],
    ]);
  }

  has(method: string): boolean {
    return this.#methods.has(method);
  }

  /** The result. Throws `forbidden` for a namespace that is not the caller's, and {@link ParamsError}. */
  async call(call: RpcCall): Promise<unknown> {
    const method = this.#methods.get(call.method);
    if (method === undefined) throw new WorkcellError('not_found', `Method not found: ${call.method}`);
    return method(call.params, call);
  }

  async #start(params: unknown, call: RpcCall): Promise<string> {
    const { config, ...named } = parseNamed(startParamsSchema, params, call);
    await this.#sandboxes.start(call.caller, { ...named, config });
    return `Sandbox ${named.sandbox} started successfully`;
  }

  async #stop(params: unknown, call: RpcCall): Promise<string> {
    const named = parseNamed(stopParamsSchema, params, call);
    await this.#sandboxes.stop(call.caller, named);
    return `Sandbox ${named.sandbox} stopped successfully`;
  }

  async #metrics(params: unknown, call: RpcCall): Promise<{ readonly sandboxes: readonly SandboxMetrics[] }> {
    const { namespace, sandbox } = parseNamed(metricsParamsSchema, params, call);
    return { sandboxes: await this.#sandboxes.metrics(call.caller, namespace, sandbox) };
  }

  async #repl(params: unknown, call: RpcCall): Promise<ReplResult> {
    const { code, language, timeout, ...named } = parseNamed(replParamsSchema, params, call);
    const { repls } = await this.#sessions.get(this.#sandboxes.getRunning(call.caller, named));
    const output = await repls[parseLanguage(language)].run(code, limits(timeout, call));
    return { status: 'success', language, output };
  }

  async #command(params: unknown, call: RpcCall): Promise<CommandResult> {
    const { command, args, timeout, ...named } = parseNamed(commandParamsSchema, params, call);
    const { agent } = await this.#sessions.get(this.#sandboxes.getRunning(call.caller, named));
    const { exitCode, output } = await runCommand(agent, { command, args }, limits(timeout, call));
    return { command, args, exit_code: exitCode, success: exitCode === 0, output };
  }
}

/** What a client has sent does not fit its method. */
export class ParamsError extends Error {}

type Named<Params> = Omit<Params, 'namespace'> & { readonly namespace: string };

/** Throws {@link ParamsError}, and `forbidden` when the caller's key is for another namespace. */
function parseNamed<Schema extends z.ZodType<{ namespace?: string | null | undefined }>>(
  schema: Schema,
  params: unknown,
  { method, caller }: RpcCall,
): Named<z.output<Schema>> {
  const parsed = schema.safeParse(params);
  if (!parsed.success) throw new ParamsError(`Invalid params for ${method}: ${z.prettifyError(parsed.error)}`);
  const own = caller.namespace === ANY_NAMESPACE ? DEFAULT_NAMESPACE : caller.namespace;
  const namespace = parsed.data.namespace ?? own;
  if (caller.namespace !== ANY_NAMESPACE && caller.namespace !== namespace)
    throw new WorkcellError('forbidden', 'The API key is for another namespace', { details: { namespace } });
  return { ...parsed.data, namespace };
}

function limits(timeoutSeconds: number | null | undefined, { signal }: RpcCall): RunLimits {
  return { timeoutMs: timeoutSeconds == null ? undefined : timeoutSeconds * 1000, signal };
}
