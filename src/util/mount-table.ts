import { readdir, readFile } from 'node:fs/promises';
import { errnoOf } from './errno.ts';

/** A mount of this process's namespace (proc_pid_mountinfo(5)). */
export interface Mount {
  readonly directory: string;
  readonly type: string;
  /** For a file system on a loop device, `/dev/loop<n>`. */
  readonly source: string;
}

/** All mounts, those that lie on top of others last. */
export async function listMounts(): Promise<readonly Mount[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** The last mount at exactly this directory, which must be free of links. */
export async function findMount(directory: string): Promise<Mount | undefined> {
  return (await listMounts()).findLast((mount) => mount.directory === directory);
}

/** The text of `/proc/<pid>/mountinfo`. */
export function parseMountInfo(text: string): readonly Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      // The number of optional fields before the lone hyphen varies.
      const [fixed = '', rest = ''] = line.split(' - ', 2);
      const [type = '', source = ''] = rest.split(' ');
      return { directory: decodeOctal(fixed.split(' ')[4] ?? ''), type, source: decodeOctal(source) };
    });
}

export interface LoopDevice {
  /** `/dev/loop<n>` */
  readonly device: string;
  /** The file behind it; the kernel adds ` (deleted)` when it is gone. */
  readonly file: string;
}

/** The loop devices that have a file. */
export async function listLoopDevices(): Promise<readonly LoopDevice[]> {
  const names = (await readdir('/sys/block').catch(() => [])).filter((name) => name.startsWith('loop'));
  const found = await Promise.all(
    names.map(async (name) => {
      const file = await backingFile(name);
      return file === undefined ? [] : [{ device: `/dev/${name}`, file }];
    }),
  );
  return found.flat();
}

async function backingFile(name: string): Promise<string | undefined> {
  try {
    return (await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8')).replace(/\n$/, '');
  } catch (error) {
    // A device that is let go of while it is looked at has none.
    if (['ENOENT', 'ENODEV', 'ENXIO'].includes(errnoOf(error))) return undefined;
    throw error;
  }
}

/** The kernel writes blanks, tabs, line breaks and backslashes as three octal digits. */
function decodeOctal(text: string): string {
  if (!text.includes('\\')) return text;
  const bytes = Buffer.from(text).toString('latin1');
  const raw = bytes.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return Buffer.from(raw, 'latin1').toString();
}
