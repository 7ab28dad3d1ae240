import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import { type CustomerId, parseCustomerId } from '../core/ids.ts';
import type { CapacityLimits } from '../util/capacity-image.ts';
import { succeeds } from '../util/errno.ts';
import type { Fence } from '../util/fenced-lock.ts';
import { GatedFiles } from '../util/gated-files.ts';
import { KeyedTurns } from '../util/keyed-turns.ts';
import { explainGateError, Pin, walk } from '../util/path-gate.ts';
import { syncFolder } from '../util/sync-folder.ts';
import { CustomerDisks, DISK } from './customer-disks.ts';
import { CustomerFolders } from './customer-folders.ts';
import { WorkspaceLease, type WorkspaceLeaseOptions } from './workspace-lease.ts';
import { WorkspaceTenure } from './workspace-tenure.ts';

/** The durable directory tree of one customer. */
export interface Workspace {
  readonly customer: CustomerId;
  /** As {@link WorkspaceStore.identify} tells it. */
  readonly identity: string;
  /** Host paths, for mounting. Host code touches what is in `filesPath` and `skillsPath` through `files` and `skills` only. */
  readonly filesPath: string;
  /** Only the host writes here. */
  readonly sessionsPath: string;
  /** A file that only the host sees: what tools were used for. */
  readonly usagePath: string;
  /** A file that only the host sees: the CPU time of the day. */
  readonly cpuPath: string;
  /** A folder that only the host sees, made on first use: calls that wait to be approved. */
  readonly approvalsPath: string;
  readonly skillsPath: string;
  readonly files: GatedFiles;
  readonly skills: GatedFiles;
  /** What only the host sees: `sessions`, `usage.json` and its own records. */
  readonly home: GatedFiles;
  /** Where `files` and `skills` lie, and what is on its way into them; nothing else of it is a guest's. */
  readonly tree: GatedFiles;
  readonly tenure: WorkspaceTenure;
  /** Present where several servers share the storage: the right to write the customer's logs. */
  readonly fence?: (() => Promise<Fence>) | undefined;
  /** Runs what must not happen to one file twice at a time, by the path of the file; of all who have it from one store. */
  readonly takeTurn: <T>(path: string, work: () => Promise<T>) => Promise<T>;
  /** Stands for the right to make and remove snapshots. */
  readonly snapshotLockPath: string;
}

export interface WorkspaceStoreOptions {
  /** Made on first use; its owner may have put a link in its place. */
  readonly root: string;
  /** What the files and skills of one customer may take together. Default: as much as the disk. */
  readonly capacity?: CapacityLimits | undefined;
  /** Where several servers share the root: which of them owns a customer. Default: this is the only one. */
  readonly lease?: Pick<WorkspaceLeaseOptions, 'ttlMs'> & { readonly onLost: (customer: CustomerId) => void };
}

/** What guests write to. */
const GUEST_FOLDERS = ['files', 'skills'] as const;
const PRIVATE = 0o700;
/** The folder of {@link Workspace.approvalsPath}. */
export const APPROVALS = 'approvals';

/**
 * The workspaces of all customers: `<root>/<customer>/{files,sessions,skills}`, for the host's user alone. With a capacity,
 * files and skills lie in a file system of their own: `<customer>/disk/{files,skills}`, kept in `<customer>/disk.ext4`; a
 * workspace that has one keeps it, whatever the configuration says later.
 *
 * An entry of the root that starts with a dot is not a customer.
 */
export class WorkspaceStore implements AsyncDisposable {
  readonly #root: string;
  readonly #folders: CustomerFolders;
  readonly #disks: CustomerDisks;
  readonly #fileTurns = new KeyedTurns();
  readonly #leaseOptions: WorkspaceStoreOptions['lease'];
  readonly #leases = new Map<CustomerId, WorkspaceLease>();
  readonly #owner = `${hostname()}:${process.pid}:${randomBytes(8).toString('hex')}`;

  constructor({ root, capacity, lease }: WorkspaceStoreOptions) {
    this.#root = root;
    this.#folders = new CustomerFolders(root);
    this.#leaseOptions = lease;
    this.#disks = new CustomerDisks(root, capacity);
  }

  /**
   * The workspace of a customer, made when there is none. Throws `invalid_argument` for an id that differs from an existing one
   * only in case, since some file systems could not tell the two apart, and `invalid_state` when a link or a file is in
   * the place of one of the folders.
   */
  open(customer: CustomerId): Promise<Workspace> {
    return this.#guard(customer, async () => {
      await this.#folders.make(customer);
      return await this.#enter(customer);
    });
  }

  /** The workspace of a customer who has one; undefined otherwise. Throws as {@link open} does. */
  find(customer: CustomerId): Promise<Workspace | undefined> {
    return this.#guard(customer, async () => {
      if ((await this.#folders.find(customer)) === undefined) return undefined;
      return await this.#enter(customer);
    });
  }

  /** Tells the folder of a customer from those that were, and will be, in its place; undefined when there is none. */
  async identify(customer: CustomerId): Promise<string | undefined> {
    const found = await this.#guard(customer, () => this.#folders.find(customer));
    // The number of a folder that is removed may be given to the next.
    return found === undefined ? undefined : `${found.dev}:${found.ino}:${found.birthtimeNs}`;
  }

  /** The customers who have a workspace, sorted. */
  list(): Promise<readonly CustomerId[]> {
    return this.#folders.list();
  }

  /**
   * Removes a customer's folder with everything in it, in one step for everybody else. The caller has the workspace alone, and
   * nobody uses what {@link open} gave for it any more.
   */
  async remove(customer: CustomerId): Promise<void> {
    await this.#guard(customer, async () => {
      await this.#folders.finishRemovals();
      await this.#disks.release(customer);
      if (await this.#disks.isMounted(customer))
        throw new WorkcellError('busy', 'another process has its disk mounted; stop it, or try again later');
      await this.#folders.remove(customer, () => this.#dropLease(customer));
    });
  }

  /** Lets other servers have the customers, and unmounts the disks that nobody else uses; the workspaces that it gave must not be used any more. */
  async close(): Promise<void> {
    await Promise.all([...this.#leases.values()].map((lease) => lease.close()));
    await this.#disks.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Completes the layout; a folder that went missing is made again, empty. */
  async #enter(customer: CustomerId): Promise<Workspace> {
    const home = (await this.#disks.mount(customer)) ? [customer, DISK] : [customer];
    for (const names of [...GUEST_FOLDERS.map((folder) => [...home, folder]), [customer, 'sessions']]) {
      await using pin = await walk(await Pin.root(this.#root), names, { makeMode: PRIVATE });
      pin.assertDirectory();
    }
    // Also those that a process made which was killed then: what is written in them is acknowledged.
    for (const names of [['..'], [], [customer], home]) await syncFolder(join(this.#root, ...names));
    const identity = await this.identify(customer);
    if (identity === undefined) throw new WorkcellError('busy', 'it was removed a moment ago; try again');
    const tree = new GatedFiles(this.#root, home);
    const own = new GatedFiles(this.#root, [customer]);
    const lease = this.#leaseOf(customer);
    const lockPath = (token: number | undefined) => this.#lockPath(customer, token);
    return {
      customer,
      identity,
      filesPath: join(this.#root, ...home, 'files'),
      sessionsPath: join(this.#root, customer, 'sessions'),
      usagePath: join(this.#root, customer, 'usage.json'),
      cpuPath: join(this.#root, customer, 'cpu.json'),
      approvalsPath: join(this.#root, customer, APPROVALS),
      skillsPath: join(this.#root, ...home, 'skills'),
      files: new GatedFiles(this.#root, [...home, 'files']),
      skills: new GatedFiles(this.#root, [...home, 'skills']),
      home: own,
      tree,
      tenure: new WorkspaceTenure({ customer, lockPath, tree, home: own, lease }),
      fence: lease === undefined ? undefined : () => lease.hold(),
      takeTurn: (path, work) => this.#fileTurns.take(`${customer}/${path}`, work),
      snapshotLockPath: join(this.#root, customer, '.snapshots.lock'),
    };
  }

  #lockPath(customer: CustomerId, token: number | undefined): string {
    return join(this.#root, customer, token === undefined ? '.use.lock' : `.use.${token}.lock`);
  }

  #leaseOf(customer: CustomerId): WorkspaceLease | undefined {
    if (this.#leaseOptions === undefined) return undefined;
    const { ttlMs, onLost } = this.#leaseOptions;
    const folder = join(this.#root, customer, '.lease');
    const lease =
      this.#leases.get(customer) ??
      new WorkspaceLease({
        customer,
        folder,
        owner: this.#owner,
        ttlMs,
        onLost: () => onLost(customer),
        onTaken: async (former) => {
          for (const token of former) await rm(this.#lockPath(customer, token), { recursive: true, force: true });
        },
      });
    this.#leases.set(customer, lease);
    return lease;
  }

  /** Its records went with the folder, so it holds nothing any more. */
  async #dropLease(customer: CustomerId): Promise<void> {
    const lease = this.#leases.get(customer);
    this.#leases.delete(customer);
    if (lease !== undefined) await succeeds(lease.close(), ['ENOENT']);
  }

  async #guard<T>(customer: CustomerId, work: () => Promise<T>): Promise<T> {
    parseCustomerId(customer);
    try {
      return await work();
    } catch (error) {
      throw explainGateError(`Cannot open the workspace of "${customer}"`, error);
    }
  }
}
