import type { SnapshotInfo } from '../workspaces/snapshot-info.ts';
import { SnapshotStore, type SnapshotStoreOptions } from '../workspaces/snapshot-store.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';

export type { SnapshotInfo } from '../workspaces/snapshot-info.ts';

export interface CustomerSnapshotsOptions {
  /** Made when there is none. */
  readonly open: () => Promise<Workspace>;
  /** Ends the sandbox that is kept for the customer, which has the files mounted. Throws `busy` while a program runs. */
  readonly release: () => Promise<void>;
  readonly limits: () => Pick<SnapshotStoreOptions, 'maxSnapshots'>;
}

export interface SnapshotCallOptions {
  readonly onProgress?: ((text: string) => void) | undefined;
}

/** The kept states of a customer's files and skills; see `SnapshotStore` for what each method promises and throws. */
export class CustomerSnapshots {
  readonly #options: CustomerSnapshotsOptions;

  constructor(options: CustomerSnapshotsOptions) {
    this.#options = options;
  }

  async create(
    options: SnapshotCallOptions & { readonly name?: string | null | undefined } = {},
  ): Promise<SnapshotInfo> {
    return await (await this.#store(options)).create(options);
  }

  /** Oldest first. */
  async list(): Promise<readonly SnapshotInfo[]> {
    return await (await this.#store()).list();
  }

  /** Throws `not_found`. */
  async get(id: string): Promise<SnapshotInfo> {
    return await (await this.#store()).get(id);
  }

  /** Ends the customer's sandbox first. Throws `busy` while a program runs, also one of another process. */
  async restore(id: string, options: SnapshotCallOptions = {}): Promise<SnapshotInfo> {
    const store = await this.#store(options);
    await store.get(id);
    await this.#options.release();
    return await store.restore(id);
  }

  async delete(id: string): Promise<void> {
    await (await this.#store()).delete(id);
  }

  async #store({ onProgress }: SnapshotCallOptions = {}): Promise<SnapshotStore> {
    return new SnapshotStore(await this.#options.open(), { ...this.#options.limits(), onProgress });
  }
}
