import { readdir, stat } from 'node:fs/promises';

/** An entry of `/proc` that speaks of the kernel and not of a process. */
export interface KernelFile {
  readonly name: string;
  /** Whether what it says of the host is nothing to a guest; otherwise it may be read. */
  readonly hidden: boolean;
}

const HIDDEN = ['kcore', 'keys', 'key-users', 'kallsyms', 'timer_list', 'sched_debug', 'latency_stats'];

/**
 * What has to be covered in a guest's `/proc`. Root of the host owns it, a guest's root may be the same user for the kernel,
 * and for much of it (`sys/kernel/core_pattern`, `sysrq-trigger`) being the owner is all that is asked of a writer.
 */
export async function kernelFiles(): Promise<readonly KernelFile[]> {
  const names = (await readdir('/proc')).filter((name) => !/^\d+$/.test(name) && !LINKS.includes(name));
  const found = await Promise.all(
    names.map(async (name) => {
      const hidden = HIDDEN.includes(name);
      const info = await stat(`/proc/${name}`).catch(() => undefined);
      const covered = hidden || info?.isDirectory() === true || ((info?.mode ?? 0) & 0o222) !== 0;
      return info !== undefined && covered ? [{ name, hidden }] : [];
    }),
  );
  return found.flat();
}

/** They lead to the process that asks. */
const LINKS = ['self', 'thread-self', 'net', 'mounts'];
