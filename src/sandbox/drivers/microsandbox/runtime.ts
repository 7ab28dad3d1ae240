import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { OnProgress } from '../../driver.ts';
import { fillRuntime, readBundle } from '../../guest-runtime/runtime-folder.ts';

const PROGRAMS = ['runner', 'program'];

/** The guest runtime as a folder in `cache`, made when it is not there yet or when something in it has changed. */
export async function obtainRuntime(cache: string, busybox: string, onProgress: OnProgress): Promise<string> {
  const folder = join(cache, `runtime-${await runtimeKey(busybox)}`);
  if ((await stat(folder).catch(() => undefined)) !== undefined) return folder;
  onProgress('building the guest runtime');
  await mkdir(cache, { recursive: true });
  const staging = await mkdtemp(`${folder}-`);
  try {
    await fillRuntime({ node: process.execPath, busybox, programs: PROGRAMS }, staging);
    // Another process may have been quicker; what it made is as good.
    await rename(staging, folder).catch(() => {});
    return folder;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function runtimeKey(busybox: string): Promise<string> {
  const hash = createHash('sha256').update(process.version);
  for (const file of [busybox, process.execPath]) {
    const { size, mtimeMs } = await stat(file);
    hash.update(`${size} ${Math.floor(mtimeMs)}\n`);
  }
  for (const name of PROGRAMS) hash.update(await readBundle(name));
  return hash.digest('hex').slice(0, 16);
}
