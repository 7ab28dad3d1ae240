import { readFile } from 'node:fs/promises';
import { errnoOf } from './errno.ts';

/** What the kernel tells of a process: fields of `/proc/<pid>/stat` (proc(5)). */
export interface ProcessStat {
  /** Whether it has ended and only its parent has not learned of it yet. */
  readonly ended: boolean;
  /** Id of the process that would learn of its end. */
  readonly parent: number;
  /** CPU time in user and kernel mode. */
  readonly cpuMs: number;
  /** CPU time of the children that it has waited for, and of theirs. */
  readonly waitedCpuMs: number;
  /** Clock ticks between the boot and the start of the process; with the pid it names one process of this boot. */
  readonly startTicks: string;
}

/** `USER_HZ`, which is the same on all architectures that Node supports. */
const MS_PER_TICK = 10;

/** Undefined when there is no such process; throws when that cannot be told. */
export async function processStat(pid: number | string): Promise<ProcessStat | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch((error: unknown) => {
    if (['ENOENT', 'ESRCH'].includes(errnoOf(error))) return undefined;
    throw error;
  });
  if (stat === undefined) return undefined;
  // The command name may hold blanks and parentheses; the state is the first field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state = '', startTicks = ''] = [fields[0], fields[19]];
  const sumMs = (...indexes: number[]) => indexes.reduce((sum, index) => sum + Number(fields[index]), 0) * MS_PER_TICK;
  return {
    ended: state === 'Z' || state === 'X',
    parent: Number(fields[1]),
    cpuMs: sumMs(11, 12),
    waitedCpuMs: sumMs(13, 14),
    startTicks,
  };
}
