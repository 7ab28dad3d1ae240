import { mkdir, mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processStat } from '../../../util/process-stat.ts';

const SHARED_MEMORY = '/dev/shm';
/** Below this the guests' memory would not fit, as in a container with a token /dev/shm. */
const LEAST_FREE_BYTES = 2 * 1024 ** 3;

/**
 * A private folder for the sockets and the memory of this process's guests: in memory when there is room, because what is
 * written there is the guest's RAM. Its name says whose it is, so that {@link sweepRunDirectories} knows the abandoned.
 */
export async function makeRunDirectory(): Promise<string> {
  const base = (await hasRoom(SHARED_MEMORY)) ? SHARED_MEMORY : tmpdir();
  await mkdir(base, { recursive: true });
  return mkdtemp(join(base, `${prefix()}${process.pid}.${await startOf(process.pid)}.`));
}

/** Removes what earlier processes of this user left when they were killed. */
export async function sweepRunDirectories(): Promise<void> {
  for (const base of new Set([SHARED_MEMORY, tmpdir()])) {
    for (const name of await readdir(base).catch(() => [])) {
      if (!name.startsWith(prefix())) continue;
      const [pid = '', started = ''] = name.slice(prefix().length).split('.');
      if ((await startOf(Number(pid))) !== started) await rm(join(base, name), { recursive: true, force: true });
    }
  }
}

function prefix(): string {
  return `workcell-${process.getuid?.() ?? 0}-`;
}

async function hasRoom(path: string): Promise<boolean> {
  const info = await statfs(path).catch(() => undefined);
  return info !== undefined && info.bavail * info.bsize >= LEAST_FREE_BYTES;
}

async function startOf(pid: number): Promise<string> {
  return (await processStat(pid))?.startTicks ?? '0';
}
