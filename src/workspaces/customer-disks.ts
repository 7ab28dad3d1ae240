import { access, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import { formatSize } from '../core/units.ts';
import { type CapacityLimits, CapacityMount, formatCapacityImage } from '../util/capacity-image.ts';
import { Deadline } from '../util/deadline.ts';
import { errnoOf, succeeds } from '../util/errno.ts';
import { FileLock } from '../util/file-lock.ts';

/** The folder of a customer at which the disk is mounted; its image lies beside it. */
export const DISK = 'disk';

const FORMAT_TIMEOUT_MS = 60_000;

/** The file systems with a capacity that customers' files lie in, each mounted from its first use until {@link close}. */
export class CustomerDisks {
  readonly #root: string;
  readonly #capacity: CapacityLimits | undefined;
  readonly #mounted = new Map<CustomerId, Promise<CapacityMount | undefined>>();

  constructor(root: string, capacity: CapacityLimits | undefined) {
    this.#root = root;
    this.#capacity = capacity;
  }

  /**
   * False when this customer has no disk and needs none. Makes one where the configuration asks for it, and enlarges one that
   * is smaller. Throws `invalid_state` for files in a plain folder, and for a disk that is larger than configured.
   */
  async mount(customer: CustomerId): Promise<boolean> {
    const mounted = this.#mounted.get(customer) ?? this.#mount(join(this.#root, customer));
    this.#mounted.set(customer, mounted);
    try {
      return (await mounted) !== undefined;
    } catch (error) {
      this.#mounted.delete(customer);
      throw error;
    }
  }

  /** Unmounts the disk of one customer, where nobody else uses it. */
  async release(customer: CustomerId): Promise<void> {
    const mounted = this.#mounted.get(customer);
    this.#mounted.delete(customer);
    await (await mounted)?.close();
  }

  /** Whether anybody on this host has the disk of a customer mounted. */
  async isMounted(customer: CustomerId): Promise<boolean> {
    const home = join(this.#root, customer);
    const [outer, inner] = await Promise.all([stat(home), stat(join(home, DISK)).catch(() => undefined)]);
    return inner !== undefined && inner.dev !== outer.dev;
  }

  async close(): Promise<void> {
    const mounts = await Promise.allSettled(this.#mounted.values());
    await Promise.all(mounts.map((mount) => (mount.status === 'fulfilled' ? mount.value?.close() : undefined)));
  }

  async #mount(home: string): Promise<CapacityMount | undefined> {
    const image = join(home, `${DISK}.ext4`);
    if (!(await succeeds(access(image), ['ENOENT']))) {
      if (this.#capacity === undefined) return undefined;
      await makeDisk(home, image, this.#capacity);
    }
    const mount = await CapacityMount.open({ image, directory: join(home, DISK) });
    try {
      if (this.#capacity !== undefined) await matchSize(mount, this.#capacity.bytes);
      return mount;
    } catch (error) {
      await mount.close();
      throw error;
    }
  }
}

async function makeDisk(home: string, image: string, capacity: CapacityLimits): Promise<void> {
  using deadline = new Deadline('Waiting for a disk to be made', FORMAT_TIMEOUT_MS);
  await using _lock = await FileLock.wait({ path: join(home, '.disk.lock'), what: 'The workspace' }, deadline);
  if (await succeeds(access(image), ['ENOENT'])) return;
  for (const folder of ['files', 'skills']) await removeEmpty(join(home, folder));
  await formatCapacityImage(image, capacity);
}

/** Removing it is how to be sure that it is empty: nobody can put a file into it afterwards. */
async function removeEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    if (!['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error))) throw error;
    throw new WorkcellError(
      'invalid_state',
      'its files lie in plain folders, which "workspace.capacity" cannot limit: move what is in its "files" and "skills" away, open the workspace once, and move it to "disk/files" and "disk/skills"; or leave the capacity out',
    );
  }
}

async function matchSize(mount: CapacityMount, bytes: number): Promise<void> {
  const { size } = await stat(mount.image);
  if (size < bytes) await mount.grow(bytes);
  if (size <= bytes) return;
  const [has, wanted] = [formatSize(size), formatSize(bytes)];
  throw new WorkcellError(
    'invalid_state',
    `its disk has ${has} and cannot be made smaller: set "workspace.capacity" to ${has} or more instead of ${wanted}`,
  );
}
