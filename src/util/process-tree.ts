import { readdir } from 'node:fs/promises';
import { type ProcessStat, processStat } from './process-stat.ts';

/** All living processes below one, by their id. One that is being started may be missed. */
export async function descendantsOf(root: number): Promise<ReadonlyMap<number, ProcessStat>> {
  const all = new Map<number, ProcessStat>();
  for (const name of await readdir('/proc')) {
    const stat = /^\d+$/.test(name) ? await processStat(name).catch(() => undefined) : undefined;
    if (stat !== undefined && !stat.ended) all.set(Number(name), stat);
  }
  const isBelow = (pid: number): boolean => {
    const parent = all.get(pid)?.parent;
    return parent !== undefined && (parent === root || isBelow(parent));
  };
  return new Map([...all].filter(([pid]) => isBelow(pid)));
}
