import { type FileHandle, open } from 'node:fs/promises';

/** One of the times that a process syncs a file: the first has the count 1. */
export interface SyncMoment {
  readonly count: number;
  readonly isAfter: boolean;
}

/** Kills this process right before, or right after, one of the times that a file is synced. */
export async function dieAtSync({ count, isAfter }: SyncMoment): Promise<void> {
  await using any = await open(process.execPath);
  const prototype = Object.getPrototypeOf(any) as Pick<FileHandle, 'datasync'>;
  const { datasync } = prototype;
  let left = count;
  prototype.datasync = async function (this: FileHandle) {
    left -= 1;
    if (left === 0 && !isAfter) process.kill(process.pid, 'SIGKILL');
    await datasync.call(this);
    if (left === 0) process.kill(process.pid, 'SIGKILL');
  };
}
