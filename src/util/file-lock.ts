import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rmdir, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { type Deadline, poll } from './deadline.ts';
import { errnoOf, succeeds } from './errno.ts';
import { Lazy } from './lazy.ts';
import { identify, ownId, type ProcessId } from './process-id.ts';

export interface FileLockOptions {
  /** The directory that stands for the lock. It exists while someone holds or wants it; its parent must exist. */
  readonly path: string;
  /** What is locked, for the error: `Session "x"`. */
  readonly what: string;
  /** Any number may share it, as long as nobody has it alone. Default false. */
  readonly shared?: boolean | undefined;
}

const SHARED = '.shared';

/**
 * A lock between the processes of one machine, with an owner: one that was killed holds it no longer.
 *
 * Whoever wants the lock puts a claim into the directory, a file named after its process, and has the lock when there
 * is no other claim of a living process. Claims are never reused, so a dead one can be deleted by anyone at any time; a
 * single lock file cannot offer that, because between reading a dead owner and deleting the file its owner may change.
 * Two that claim at the same moment may both be refused; never do both get it. All processes must share one PID
 * namespace and a local file system.
 */
export class FileLock implements AsyncDisposable {
  readonly #directory: string;
  readonly #claim: string;
  #releasing: Promise<void> | undefined;

  private constructor(directory: string, claim: string) {
    this.#directory = directory;
    this.#claim = claim;
  }

  /** Throws `busy`, naming the owner's pid, when a living process has the lock, this one included. */
  static async acquire(options: FileLockOptions): Promise<FileLock> {
    const claim = `${await claimName()}${options.shared === true ? SHARED : ''}`;
    await placeClaim(options.path, claim);
    const lock = new FileLock(options.path, claim);
    try {
      const pid = await findRival(options.path, claim);
      if (pid === undefined) return lock;
      throw new WorkcellError('busy', `${options.what} is in use by process ${pid}; try again when it is done`, {
        details: { pid },
      });
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Like {@link acquire}, but waits for its turn until the deadline ends. */
  static wait(options: FileLockOptions, deadline: Deadline): Promise<FileLock> {
    return poll(deadline, () => FileLock.acquire(options).catch(undefinedIfBusy), 5 + Math.random() * 10);
  }

  /** Whether a living process has the lock, or wants it at this moment. Keeps nobody from getting it. */
  static async isHeld(path: string): Promise<boolean> {
    for (const name of await readdir(path).catch(emptyIfMissing)) if ((await claimant(name)) !== undefined) return true;
    return false;
  }

  release(): Promise<void> {
    this.#releasing ??= withdraw(this.#directory, this.#claim);
    return this.#releasing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

async function placeClaim(directory: string, claim: string): Promise<void> {
  // An owner that lets go deletes the empty directory, perhaps between these two steps.
  for (let attempt = 1; ; attempt++) {
    await succeeds(mkdir(directory, { mode: 0o700 }), ['EEXIST']);
    try {
      return await writeFile(join(directory, claim), '', { flag: 'wx' });
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || attempt === 100) throw error;
    }
  }
}

/** The pid of a living process with another claim; the claims of dead ones are deleted. */
async function findRival(directory: string, claim: string): Promise<number | undefined> {
  for (const name of await readdir(directory)) {
    if (name === claim || (name.endsWith(SHARED) && claim.endsWith(SHARED))) continue;
    const pid = await claimant(name);
    if (pid !== undefined) return pid;
    await succeeds(unlink(join(directory, name)), ['ENOENT']);
  }
  return undefined;
}

async function withdraw(directory: string, claim: string): Promise<void> {
  await succeeds(unlink(join(directory, claim)), ['ENOENT']);
  await succeeds(rmdir(directory), ['ENOENT', 'ENOTEMPTY']);
}

/** A name that nobody else uses, for what goes away with this process; {@link claimant} tells whose it is. */
export async function claimName(): Promise<string> {
  return `${await tokenOf(await ownId())}.${randomBytes(6).toString('hex')}`;
}

/** The pid of the process that made the name, if it is alive on this host. */
export async function claimant(name: string): Promise<number | undefined> {
  const [token = '', pid = ''] = /^(\d+)-[^.]+/.exec(name) ?? [];
  const owner = token === '' ? undefined : await identify(Number(pid));
  return owner !== undefined && (await tokenOf(owner)) === token ? owner.pid : undefined;
}

const bootId = new Lazy<string>();

/** `<pid>-<start>-<boot>`: one process, told from an earlier or later one with the same pid. */
async function tokenOf({ pid, startTicks }: ProcessId): Promise<string> {
  const boot = await bootId.get(() => readFile('/proc/sys/kernel/random/boot_id', 'utf8'));
  return `${pid}-${startTicks}-${boot.slice(0, 8)}`;
}

function emptyIfMissing(error: unknown): readonly string[] {
  if (errnoOf(error) === 'ENOENT') return [];
  throw error;
}

function undefinedIfBusy(error: unknown): undefined {
  if (isWorkcellError(error) && error.code === 'busy') return undefined;
  throw error;
}
