import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OnProgress } from '../driver.ts';
import { fillRuntime, readBundle } from './runtime-folder.ts';

const PROGRAMS = ['agentd-process', 'runner', 'program'];
/** Names for the one user that there is, and for everybody else. */
const ETC = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  group: 'root:x:0:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost\n',
};

/** The folder in `cache` that guests see as `/opt/workcell`; made when it is not there, or when what it is made of changed. */
export async function obtainRuntime(cache: string, busybox: string, onProgress: OnProgress): Promise<string> {
  const folder = join(cache, `runtime-${await keyOf(busybox)}`);
  if ((await stat(folder).catch(() => undefined)) !== undefined) return folder;
  onProgress('building the guest runtime');
  await mkdir(cache, { recursive: true });
  const staging = await mkdtemp(`${folder}-`);
  try {
    await fillRuntime({ node: process.execPath, busybox, programs: PROGRAMS }, staging);
    await mkdir(join(staging, 'etc'));
    for (const [name, text] of Object.entries(ETC)) await writeFile(join(staging, 'etc', name), text);
    await rename(staging, folder).catch((error: NodeJS.ErrnoException) => {
      // Another process was quicker; what it made is as good.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return folder;
}

async function keyOf(busybox: string): Promise<string> {
  const hash = createHash('sha256').update(`${process.version}\n${JSON.stringify(ETC)}\n`);
  for (const file of [busybox, process.execPath]) {
    const { size, mtimeMs } = await stat(file);
    hash.update(`${size} ${Math.floor(mtimeMs)}\n`);
  }
  for (const name of PROGRAMS) hash.update(await readBundle(name));
  return hash.digest('hex').slice(0, 16);
}
