import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { errnoOf } from './errno.ts';
import { Lazy } from './lazy.ts';
import { processStat } from './process-stat.ts';

/** One process of this boot, whoever started it. */
export interface ProcessId {
  readonly pid: number;
  /** As `processStat` tells it: another process may get the same pid later. */
  readonly startTicks: string;
}

/** Of an id that was kept on disk. */
export const processIdSchema: z.ZodType<ProcessId> = z.strictObject({
  pid: z.int().positive(),
  startTicks: z.string().regex(/^\d+$/),
});

/** Which process has this pid now; undefined when none has, or one that has ended. */
export async function identify(pid: number): Promise<ProcessId | undefined> {
  const stat = await processStat(pid);
  return stat === undefined || stat.ended ? undefined : { pid, startTicks: stat.startTicks };
}

/** This process, as it is named in what it leaves on disk. Throws `unsupported` without a `/proc`. */
export function ownId(): Promise<ProcessId> {
  return own.get(async () => {
    const id = await identify(process.pid);
    if (id !== undefined) return id;
    throw new WorkcellError('unsupported', 'Cannot tell this process from others: /proc does not show it; mount /proc');
  });
}

const own = new Lazy<ProcessId>();

/** Whether this very process still runs. */
export async function isRunning({ pid, startTicks }: ProcessId): Promise<boolean> {
  return (await identify(pid))?.startTicks === startTicks;
}

/** Ends a process at once, if it still runs; it may be gone a moment later only. */
export async function killProcess(id: ProcessId): Promise<void> {
  if (!(await isRunning(id))) return;
  try {
    process.kill(id.pid, 'SIGKILL');
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}
