import { readdir, readFile } from 'node:fs/promises';

/** The ids of all machine monitors of Microsandbox on this machine. */
export async function monitors(): Promise<number[]> {
  const found = await Promise.all(
    (await readdir('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map(async (pid) => {
        const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
        return /bin\/msb\0sandbox\0/.test(line) ? [Number(pid)] : [];
      }),
  );
  return found.flat();
}

/** The one that serves this folder. */
export async function monitorOf(folder: string): Promise<number> {
  for (const pid of await monitors()) {
    // `id parent device root target …`; spaces in a path are written as octal numbers.
    const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '');
    if (mounts.includes(folder.replaceAll(' ', '\\040'))) return pid;
  }
  throw new Error(`No machine monitor has ${folder}`);
}
