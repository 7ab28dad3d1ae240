import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { ORPHAN_LIMIT_MS } from '../../../protocol/guest-bootstrap.ts';
import { ForeignProcess } from '../../../util/child.ts';
import { identify, isRunning, ownId, type ProcessId } from '../../../util/process-id.ts';
import { readGuestFile } from './guest-file.ts';

const SHARED_MEMORY = '/dev/shm';
/** Below this the guests' memory would not fit, as in a container with a token /dev/shm. */
const LEAST_FREE_BYTES = 2 * 1024 ** 3;
const GUEST_PREFIX = 'guest-';
/** Says since when nobody answers for a guest. */
export const ORPHANED = 'orphaned';
/** Beyond the time after which a guest without a host ends by itself, when all is well in it. */
export const ORPHAN_GRACE_MS: number = ORPHAN_LIMIT_MS + 60_000;
/** Names of the processes of a guest, as the kernel cuts them. */
const GUEST_PROCESSES = ['qemu-system-x86', 'virtiofsd'];

/**
 * A private folder for the sockets and the memory of this process's guests: in memory when there is room, because what is
 * written there is the guest's RAM. Its name says whose it is, so that {@link sweepRunDirectories} knows the abandoned.
 */
export async function makeRunDirectory(): Promise<string> {
  const base = (await hasRoom(SHARED_MEMORY)) ? SHARED_MEMORY : tmpdir();
  await mkdir(base, { recursive: true });
  const { pid, startTicks } = await ownId();
  return mkdtemp(join(base, `${prefix()}${pid}.${startTicks}.`));
}

/** A private folder for one guest. */
export function makeGuestFolder(runDirectory: string): Promise<string> {
  return mkdtemp(join(runDirectory, GUEST_PREFIX));
}

/** Whether this is a folder that {@link makeGuestFolder} has made, of this process or an earlier one of this user. */
export function isGuestFolder(path: string): boolean {
  const run = dirname(path);
  const base = dirname(run);
  const named = basename(path).startsWith(GUEST_PREFIX) && basename(run).startsWith(prefix());
  return named && [SHARED_MEMORY, tmpdir()].includes(base) && path === join(base, basename(run), basename(path));
}

/**
 * Ends and removes what earlier processes of this user left when they were killed. Gives the number of guests that were
 * left alone because the next process may still adopt them; look again after {@link ORPHAN_GRACE_MS}.
 */
export async function sweepRunDirectories(): Promise<number> {
  let orphans = 0;
  for (const base of new Set([SHARED_MEMORY, tmpdir()])) {
    for (const name of await readdir(base).catch(() => [])) {
      if (!name.startsWith(prefix())) continue;
      const [pid = '', startTicks = ''] = name.slice(prefix().length).split('.');
      if (!(await isRunning({ pid: Number(pid), startTicks }))) orphans += await sweep(join(base, name));
    }
  }
  return orphans;
}

/** Ends what serves the guest in this folder, and removes the folder. */
export async function removeGuestFolder(folder: string): Promise<void> {
  const processes = await processesOf(folder);
  await Promise.all(processes.map((id) => new ForeignProcess(id).kill()));
  await rm(folder, { recursive: true, force: true });
}

async function sweep(runDirectory: string): Promise<number> {
  let orphans = 0;
  for (const name of await readdir(runDirectory).catch(() => [])) {
    const folder = join(runDirectory, name);
    const file = await readGuestFile(folder);
    if (file !== undefined && (await isRunning(file.owner))) continue;
    if (file !== undefined && (await mayBeAdopted(folder))) orphans += 1;
    else await removeGuestFolder(folder);
  }
  // Guests that somebody has adopted, or may adopt, keep theirs.
  await rmdir(runDirectory).catch(() => {});
  return orphans;
}

async function mayBeAdopted(folder: string): Promise<boolean> {
  if ((await processesOf(folder)).length < GUEST_PROCESSES.length) return false;
  const marker = join(folder, ORPHANED);
  const since = await stat(marker).catch(() => undefined);
  if (since === undefined) await writeFile(marker, '');
  return since === undefined || Date.now() - since.mtimeMs < ORPHAN_GRACE_MS;
}

/** The machine and the file server have the folder in their command lines. */
async function processesOf(folder: string): Promise<ProcessId[]> {
  const found: ProcessId[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const name = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
    if (!GUEST_PROCESSES.includes(name)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    // QEMU's option lists have a comma twice.
    if (!command.replaceAll(',,', ',').includes(`${folder}/`)) continue;
    const id = await identify(Number(pid));
    if (id !== undefined) found.push(id);
  }
  return found;
}

function prefix(): string {
  return `workcell-${process.getuid?.() ?? 0}-`;
}

async function hasRoom(path: string): Promise<boolean> {
  const info = await statfs(path).catch(() => undefined);
  return info !== undefined && info.bavail * info.bsize >= LEAST_FREE_BYTES;
}
