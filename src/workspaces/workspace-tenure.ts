import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import { errnoOf } from '../util/errno.ts';
import { acquireFencedLock, type FencedLock } from '../util/fenced-lock.ts';
import type { GatedFiles } from '../util/gated-files.ts';
import { USED } from './activity.ts';
import { finishReplacement, isReplacing } from './replace-tree.ts';
import type { WorkspaceLease } from './workspace-lease.ts';

export interface WorkspaceTenureOptions {
  readonly customer: CustomerId;
  /** The directory that stands for the right to use the workspace, of the owner with this token. */
  readonly lockPath: (token: number | undefined) => string;
  readonly tree: GatedFiles;
  readonly home: GatedFiles;
  /** Absent where one server alone has the storage. */
  readonly lease?: WorkspaceLease | undefined;
}

/** The right to write to a workspace, until it is disposed of. */
export type WorkspaceShare = FencedLock;

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
  async share(): Promise<WorkspaceShare> {
    const { tree } = this.#options;
    for (;;) {
      const share = await this.#acquire(true);
      try {
        if (!(await isReplacing(tree))) return { ...share, [Symbol.asyncDispose]: () => this.#letGo(share) };
      } catch (error) {
        await share[Symbol.asyncDispose]();
        throw error;
      }
      await share[Symbol.asyncDispose]();
      await (await this.take())[Symbol.asyncDispose]();
    }
  }

  /** Throws `busy` while anybody else uses it, in any process of this host. */
  async take(): Promise<WorkspaceShare> {
    const share = await this.#acquire(false);
    try {
      await finishReplacement(this.#options.tree);
      return share;
    } catch (error) {
      await share[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The last use is when it ended. */
  async #letGo(share: WorkspaceShare): Promise<void> {
    await this.#options.home.writeFile(USED, '', { sync: false }).finally(() => share[Symbol.asyncDispose]());
  }

  async #acquire(shared: boolean): Promise<WorkspaceShare> {
    const { customer, lockPath, lease } = this.#options;
    try {
      return await acquireFencedLock({
        fence: lease && (() => lease.hold()),
        lock: (token) => ({ path: lockPath(token), what: `The workspace of "${customer}"`, shared }),
      });
    } catch (cause) {
      if (errnoOf(cause) !== 'ENOENT') throw cause;
      throw new WorkcellError('busy', `Customer "${customer}" was removed a moment ago; try again`, { cause });
    }
  }
}
