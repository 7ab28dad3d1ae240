import { readFile } from 'node:fs/promises';
import { processStat } from '../../../util/process-stat.ts';
import type { GuestMetrics } from '../../driver.ts';

const KIB = 1024;

/** What a guest costs the host: its machine, and the file server beside it. */
export async function measureGuest(machine: number, fileServer: number, memory: string): Promise<GuestMetrics> {
  const [stat, used, served] = await Promise.all([
    processStat(machine),
    residentOf(machine, memory),
    residentOf(fileServer, memory),
  ]);
  return {
    residentBytes: used.total,
    overheadBytes: used.total - used.memory + served.total - served.memory,
    cpuMs: stat?.cpuMs ?? 0,
  };
}

/** Resident bytes of a process, and those of them that are pages of the file `memory`; see proc(5), `smaps`. */
async function residentOf(pid: number, memory: string): Promise<{ total: number; memory: number }> {
  const maps = await readFile(`/proc/${pid}/smaps`, 'utf8').catch(() => '');
  const sum = { total: 0, memory: 0 };
  let isMemory = false;
  for (const line of maps.split('\n')) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$/.exec(line);
    if (mapping !== null) isMemory = mapping[1] === memory;
    const bytes = Number(/^Rss: +(\d+) kB$/.exec(line)?.[1] ?? 0) * KIB;
    sum.total += bytes;
    if (isMemory) sum.memory += bytes;
  }
  return sum;
}
