import { readFile } from 'node:fs/promises';
import { descendantsOf } from '../util/process-tree.ts';

/** What a driver may leave on a host, apart from what it keeps in its cache. */
export interface HostTraces {
  /** Living processes below this one. */
  readonly processes: readonly number[];
  readonly mounts: readonly string[];
}

export async function hostTraces(): Promise<HostTraces> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).trim().split('\n');
  return { processes: [...(await descendantsOf(process.pid)).keys()].toSorted((a, b) => a - b), mounts };
}

/** The ids of processes below this one that run a program of this name. */
export async function descendantsNamed(name: string): Promise<readonly number[]> {
  const found = await Promise.all(
    [...(await descendantsOf(process.pid)).keys()].map(async (pid) => {
      // The kernel keeps 15 characters of a name.
      const comm = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
      return comm === name.slice(0, 15) ? [pid] : [];
    }),
  );
  return found.flat();
}
