import { randomBytes } from 'node:crypto';
import { parseAllowList } from '../core/network-policy.ts';
import { toCloudPolicy } from '../protocol/network-policy.ts';
import type { CreateSandboxInput, SandboxResponse } from '../protocol/rest.ts';
import { Deadline } from '../util/deadline.ts';
import { connectAgent } from './connect-agent.ts';
import { MicrosandboxClient, type MicrosandboxClientOptions } from './microsandbox-client.ts';
import type { OpenSandbox, SandboxOpener } from './open-sandbox.ts';
import type { ExecuteProgram } from './program-executor.ts';
import { RunnerSession } from './runner-session.ts';

export interface CloudSandboxesOptions extends MicrosandboxClientOptions {
  /** What every sandbox is like. */
  readonly sandbox: { readonly image: string; readonly cpus: number; readonly memoryMib: number };
  /** What programs may reach, as `parseAllowList` reads it; a server may allow less. Default nothing. */
  readonly allow?: readonly string[];
  /** How long a sandbox waits for a customer's next program before it ends. */
  readonly idleTimeoutMs: number;
}

const REMOVE_TIMEOUT_MS = 15_000;
const MEASURE_TIMEOUT_MS = 2_000;
/** An idle sandbox is closed from here, which cannot cross with a program; the server does it when we are gone. */
const SERVER_IDLE_GRACE_SECONDS = 60;

const NAME_CHARS = 100;

/** Sandboxes of a server of the cloud API; their runner is reached through the agent's stream. */
export class CloudSandboxes implements SandboxOpener {
  readonly #options: CloudSandboxesOptions;
  readonly #client: MicrosandboxClient;

  constructor(options: CloudSandboxesOptions) {
    this.#options = options;
    this.#client = new MicrosandboxClient(options);
  }

  async open(
    { customer, mounts }: Pick<ExecuteProgram, 'customer' | 'mounts'>,
    deadline: Deadline,
  ): Promise<OpenSandbox> {
    const { image, cpus, memoryMib } = this.#options.sandbox;
    const sandbox = await this.#client.start(
      {
        // Of an id as long as it may be only a part fits; the label has it all.
        name: `workcell-${customer.slice(0, NAME_CHARS)}-${randomBytes(4).toString('hex')}`,
        image: { type: 'oci', reference: image },
        resources: { vcpus: cpus, memory_mib: memoryMib },
        network: this.#network(),
        labels: { 'workcell.customer': customer },
        lifecycle: { ephemeral: true, idle_timeout_secs: this.#serverIdleSeconds() },
        mounts,
      },
      deadline,
    );
    try {
      const agent = await connectAgent(this.#client, sandbox.id, deadline);
      return {
        info: describe(sandbox),
        runner: new RunnerSession(agent),
        touch: () => agent.touch(),
        readCpu: () => this.#readCpu(sandbox),
        close: async () => {
          agent[Symbol.dispose]();
          await this.#remove(sandbox);
        },
      };
    } catch (error) {
      await this.#remove(sandbox);
      throw error;
    }
  }

  async #readCpu({ id }: SandboxResponse): Promise<number | undefined> {
    using deadline = new Deadline('Measuring a sandbox', MEASURE_TIMEOUT_MS);
    return await this.#client.cpuMs(id, deadline).catch(() => undefined);
  }

  /** Ephemeral sandboxes that have ended are gone already. */
  async #remove({ id }: SandboxResponse): Promise<void> {
    using deadline = new Deadline('Removing a sandbox', REMOVE_TIMEOUT_MS);
    await this.#client.remove(id, deadline).catch(() => {});
  }

  #network(): CreateSandboxInput['network'] {
    const { allow = [] } = this.#options;
    return allow.length === 0 ? { enabled: false } : { policy: toCloudPolicy(parseAllowList(allow)) };
  }

  #serverIdleSeconds(): number {
    return Math.ceil(this.#options.idleTimeoutMs / 1000) + SERVER_IDLE_GRACE_SECONDS;
  }
}

function describe(sandbox: SandboxResponse): OpenSandbox['info'] {
  return {
    id: sandbox.id,
    driver: sandbox.driver ?? 'unknown',
    // A server that does not say gets no credit for what it may do.
    isolation: sandbox.isolation ?? 'process',
    boot: sandbox.boot ?? 'cold',
    ...(sandbox.pool_bypass ? { poolBypass: sandbox.pool_bypass } : {}),
  };
}
