import { readdir, readFile } from 'node:fs/promises';
import { Deadline, poll } from '../../src/util/deadline.ts';

/** The ids of all living processes below this one. */
export async function descendants(): Promise<readonly number[]> {
  const entries = await readdir('/proc');
  const parents = new Map<number, number>();
  for (const pid of entries.filter((name) => /^\d+$/.test(name)).map(Number)) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // `pid (name) state ppid …`; the name can hold anything.
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state !== 'Z' && parent !== undefined) parents.set(pid, Number(parent));
  }
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && (parent === process.pid || isBelow(parent));
  };
  return [...parents.keys()].filter(isBelow);
}

/** Resolves when `condition` gives something other than undefined or false; fails after 45 s. */
export async function eventually<T>(condition: () => Promise<T> | T): Promise<Exclude<T, undefined | false>> {
  using deadline = new Deadline('Waiting for the condition', 45_000);
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

/** The ids of living processes below this one that run a program of this name. */
export async function descendantsNamed(name: string): Promise<readonly number[]> {
  const named = await Promise.all(
    (await descendants()).map(async (pid) => {
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
