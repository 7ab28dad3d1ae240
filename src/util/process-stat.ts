import { readFile } from 'node:fs/promises';
import { errnoOf } from './errno.ts';

/** What the kernel tells of a process: fields of `/proc/<pid>/stat`, as text (proc(5)). */
export interface ProcessStat {
  /** One letter; `Z` and `X` are processes that have ended. */
  readonly state: string;
  /** Id of the process that would learn of its end. */
  readonly parent: number;
  /** CPU time in user and kernel mode, in clock ticks. */
  readonly userTicks: number;
  readonly systemTicks: number;
  /** CPU time of the children that it has waited for, and of theirs. */
  readonly waitedTicks: number;
  /** Clock ticks between the boot and the start of the process; with the pid it names one process of this boot. */
  readonly startTicks: string;
}

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
  const waitedTicks = Number(fields[13]) + Number(fields[14]);
  const [parent, userTicks, systemTicks] = [Number(fields[1]), Number(fields[11]), Number(fields[12])];
  return { state, parent, userTicks, systemTicks, waitedTicks, startTicks };
}
