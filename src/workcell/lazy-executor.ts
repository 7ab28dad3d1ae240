import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import type { ProgramExecutor, ReleaseOptions } from '../executor/program-executor.ts';
import { Cleanup } from '../util/cleanup.ts';
import { Lazy } from '../util/lazy.ts';
import { createExecutor, type SandboxBackend } from './sandbox-backend.ts';

export interface LazyExecutorOptions {
  readonly config: Config;
  /** Gives the server that programs run on. */
  readonly backend: () => Promise<SandboxBackend>;
  readonly onProgress: (text: string) => void;
}

/** What programs are run by, started for the first of them. Dispose it to end every sandbox, and the server if it is our own. */
export class LazyExecutor implements AsyncDisposable {
  readonly #options: LazyExecutorOptions;
  readonly #executor = new Lazy<ProgramExecutor>();
  readonly #cleanup = new Cleanup();
  #isClosed = false;

  constructor(options: LazyExecutorOptions) {
    this.#options = options;
  }

  /** Throws `cancelled` once it is disposed of. */
  async open(): Promise<ProgramExecutor> {
    if (this.#isClosed) throw new WorkcellError('cancelled', 'This Workcell is closed');
    return await this.#executor.get(() => this.#start());
  }

  /** The one that was started; undefined when none was, or could be. */
  find(): Promise<ProgramExecutor | undefined> {
    return this.#executor.find();
  }

  /** As `ProgramExecutor.release`; nothing is started for it. */
  async release(customer: CustomerId, options?: ReleaseOptions): Promise<void> {
    await (await this.find())?.release(customer, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#cleanup.run();
  }

  async #start(): Promise<ProgramExecutor> {
    const { config, backend: open, onProgress } = this.#options;
    const backend = await open();
    if (config.sandbox.protocol === 'rpc' && config.sandbox.url !== undefined)
      onProgress('a 0.2 server is used: it alone decides what programs reach of the network');
    this.#cleanup.add(async () => backend[Symbol.asyncDispose]());
    const executor = createExecutor(config, backend);
    this.#cleanup.add(async () => executor[Symbol.asyncDispose]());
    return executor;
  }
}
