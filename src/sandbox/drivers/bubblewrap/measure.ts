import { readFile } from 'node:fs/promises';
import { processStat } from '../../../util/process-stat.ts';
import { descendantsOf } from '../../../util/process-tree.ts';

export interface TreeUsage {
  /** Memory that is nobody else's; what is mapped from files can be taken back. */
  readonly privateBytes: number;
  /** Of the living, and of those that the living have waited for. */
  readonly cpuMs: number;
}

/** What a process and all below it use. */
export async function usageOf(root: number): Promise<TreeUsage> {
  const stat = await processStat(root);
  let [privateBytes, cpuMs] = [0, 0];
  for (const [pid, { cpuMs: own, waitedCpuMs }] of [
    ...(stat ? [[root, stat] as const] : []),
    ...(await descendantsOf(root)),
  ]) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    privateBytes += Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    cpuMs += own + waitedCpuMs;
  }
  return { privateBytes, cpuMs };
}
