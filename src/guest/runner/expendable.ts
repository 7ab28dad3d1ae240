import { writeFileSync } from 'node:fs';

/** When the guest runs out of memory, the kernel shall end this process and not the agent, which is exempt. */
export function makeExpendable(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, '500');
  } catch {
    // It has ended already.
  }
}
