import { readdir, readFile } from 'node:fs/promises';
import { type ProcessStat, processStat } from '../util/process-stat.ts';

/** What a driver may leave on a host, apart from what it keeps in its cache. */
export interface HostTraces {
  /** Living processes below this one. */
  readonly processes: readonly number[];
  readonly mounts: readonly string[];
}

export async function hostTraces(): Promise<HostTraces> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).trim().split('\n');
  return { processes: (await descendants()).map(([pid]) => pid).toSorted((a, b) => a - b), mounts };
}

/** The ids of processes below this one that run a program of this name. */
export async function descendantsNamed(name: string): Promise<readonly number[]> {
  const found = await Promise.all(
    (await descendants()).map(async ([pid]) => {
      // The kernel keeps 15 characters of a name.
      const comm = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
      return comm === name.slice(0, 15) ? [pid] : [];
    }),
  );
  return found.flat();
}

async function descendants(): Promise<readonly (readonly [number, ProcessStat])[]> {
  const all = new Map<number, ProcessStat>();
  for (const name of await readdir('/proc')) {
    const stat = /^\d+$/.test(name) ? await processStat(name).catch(() => undefined) : undefined;
    if (stat !== undefined && stat.state !== 'Z' && stat.state !== 'X') all.set(Number(name), stat);
  }
  const isBelow = (pid: number): boolean => {
    const parent = all.get(pid)?.parent;
    return parent !== undefined && (parent === process.pid || isBelow(parent));
  };
  return [...all].filter(([pid]) => isBelow(pid));
}
