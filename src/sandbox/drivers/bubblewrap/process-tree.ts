import { readdir, readFile } from 'node:fs/promises';
import { type ProcessStat, processStat } from '../../../util/process-stat.ts';

const CLOCK_TICKS_PER_SECOND = 100;

export interface TreeUsage {
  /** Memory that is nobody else's; what is mapped from files can be taken back. */
  readonly privateBytes: number;
  /** Of the living, and of those that the living have waited for. */
  readonly cpuMs: number;
}

/** The ids of all living processes below one, without itself. A process that is being started may be missed. */
export async function descendantsOf(pid: number): Promise<readonly number[]> {
  return [...(await treeOf(pid)).keys()].filter((each) => each !== pid);
}

/** What a process and all below it use. */
export async function usageOf(pid: number): Promise<TreeUsage> {
  let [privateBytes, ticks] = [0, 0];
  for (const [each, stat] of await treeOf(pid)) {
    const status = await readFile(`/proc/${each}/status`, 'utf8').catch(() => '');
    privateBytes += Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    ticks += stat.userTicks + stat.systemTicks + stat.waitedTicks;
  }
  return { privateBytes, cpuMs: (ticks * 1000) / CLOCK_TICKS_PER_SECOND };
}

async function treeOf(root: number): Promise<ReadonlyMap<number, ProcessStat>> {
  const all = new Map<number, ProcessStat>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await processStat(name).catch(() => undefined);
    if (stat !== undefined && stat.state !== 'Z' && stat.state !== 'X') all.set(Number(name), stat);
  }
  const isInside = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined && at > 0; at = all.get(at)?.parent)
      if (at === root) return true;
    return false;
  };
  return new Map([...all].filter(([pid]) => isInside(pid)));
}
