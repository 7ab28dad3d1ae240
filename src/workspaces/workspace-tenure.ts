import type { CustomerId } from '../core/ids.ts';
import { FileLock } from '../util/file-lock.ts';
import type { GatedFiles } from '../util/gated-files.ts';
import { USED } from './activity.ts';
import { finishReplacement, isReplacing } from './replace-tree.ts';

export interface WorkspaceTenureOptions {
  readonly customer: CustomerId;
  /** The directory that stands for the right to use the workspace. */
  readonly lockPath: string;
  readonly tree: GatedFiles;
  readonly home: GatedFiles;
}

/**
 * Who may use a workspace: any number together, or one alone. Files are written, and sandboxes have them mounted, by those who
 * share it; they are replaced or removed as a whole by one who has it alone.
 */
export class WorkspaceTenure {
  readonly #options: WorkspaceTenureOptions;

  constructor(options: WorkspaceTenureOptions) {
    this.#options = options;
  }

  /** Throws `busy` while somebody has it alone. What a killed process has begun to replace is whole before this resolves. */
  async share(): Promise<AsyncDisposable> {
    const { tree } = this.#options;
    for (;;) {
      const lock = await this.#lock(true);
      try {
        if (!(await isReplacing(tree))) return { [Symbol.asyncDispose]: () => this.#letGo(lock) };
      } catch (error) {
        await lock.release();
        throw error;
      }
      await lock.release();
      await (await this.take()).release();
    }
  }

  /** Throws `busy` while anybody else uses it, in any process of this host. */
  async take(): Promise<FileLock> {
    const lock = await this.#lock(false);
    try {
      await finishReplacement(this.#options.tree);
      return lock;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** The last use is when it ended. */
  async #letGo(lock: FileLock): Promise<void> {
    await this.#options.home.writeFile(USED, '', { sync: false }).finally(() => lock.release());
  }

  #lock(shared: boolean): Promise<FileLock> {
    const { customer, lockPath } = this.#options;
    return FileLock.acquire({ path: lockPath, what: `The workspace of "${customer}"`, shared });
  }
}
