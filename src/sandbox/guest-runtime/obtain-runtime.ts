import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { publishFolder } from '../../util/publish-folder.ts';
import type { OnProgress } from '../driver.ts';
import { fillRuntime, runtimeKey } from './runtime-folder.ts';

const PROGRAMS = ['agentd-process', 'runner', 'program'];
/** Files of a guest's `/etc` when its image brings none. Names for the one user that there is, and for everybody else. */
export const GUEST_ETC = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  group: 'root:x:0:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost\n',
};

/** The folder in `cache` that guests see as `/opt/workcell`; made when it is not there, or when what it is made of changed. */
export async function obtainRuntime(cache: string, busybox: string, onProgress: OnProgress): Promise<string> {
  const folder = join(cache, `runtime-${await runtimeKey(JSON.stringify(GUEST_ETC), [busybox], PROGRAMS)}`);
  if ((await stat(folder).catch(() => undefined)) !== undefined) return folder;
  onProgress('building the guest runtime');
  await publishFolder(folder, async (staging) => {
    await fillRuntime({ node: process.execPath, busybox, programs: PROGRAMS }, staging);
    await mkdir(join(staging, 'etc'));
    for (const [name, text] of Object.entries(GUEST_ETC)) await writeFile(join(staging, 'etc', name), text);
    return staging;
  });
  return folder;
}
