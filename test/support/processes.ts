import { readFile } from 'node:fs/promises';
import { Deadline, poll } from '../../src/util/deadline.ts';
import { descendantsOf } from '../../src/util/process-tree.ts';

/** The ids of all living processes below this one, or another. */
export async function descendants(root: number = process.pid): Promise<readonly number[]> {
  return [...(await descendantsOf(root)).keys()];
}

/** Resolves when `condition` gives something other than undefined or false; fails after 150 s. */
export async function eventually<T>(condition: () => Promise<T> | T): Promise<Exclude<T, undefined | false>> {
  using deadline = new Deadline('Waiting for the condition', 150_000);
  return await poll(deadline, async () => {
    const value = await condition();
    return value === false ? undefined : (value as Exclude<T, undefined | false>);
  });
}

/** True while a process with this id runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The ids of living processes below this one, or another, that run a program of this name. */
export async function descendantsNamed(name: string, root?: number): Promise<readonly number[]> {
  const named = await Promise.all(
    (await descendants(root)).map(async (pid) => {
      // The kernel keeps 15 characters of a name.
      const comm = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
      return comm === name.slice(0, 15) ? [pid] : [];
    }),
  );
  return named.flat();
}

/** False also for a process that has ended and that nobody has asked about yet. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z');
  return !stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
}
