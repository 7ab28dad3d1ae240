import { FileLock, type FileLockOptions } from './file-lock.ts';

/** The right of one server among several on shared storage to write for a customer; see `workspaces/workspace-lease.ts`. */
export interface Fence extends AsyncDisposable {
  /** Later owners have larger ones. */
  readonly token: number;
  /** Throws `busy` when another server may own the customer. */
  assertHeld(): void;
}

/** A lock among servers and processes, until it is disposed of. */
export interface FencedLock extends AsyncDisposable {
  /** Throws `busy` when another server may own the customer by now. */
  assertHeld(): void;
}

export interface FencedLockOptions {
  /** Absent where one server alone has the storage. */
  readonly fence: (() => Promise<Fence>) | undefined;
  /**
   * The lock of the owner with this token. Each owner needs one of its own: a former one on this host may hold its lock for as long as
   * it is stopped.
   */
  readonly lock: (token: number | undefined) => FileLockOptions;
}

/** First among servers, then among the processes of this host. Throws `busy` when somebody else has it. */
export async function acquireFencedLock({ fence, lock }: FencedLockOptions): Promise<FencedLock> {
  const held = await fence?.();
  try {
    const locked = await FileLock.acquire(lock(held?.token));
    return {
      assertHeld: () => held?.assertHeld(),
      [Symbol.asyncDispose]: async () => {
        await locked.release();
        await held?.[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await held?.[Symbol.asyncDispose]();
    throw error;
  }
}
