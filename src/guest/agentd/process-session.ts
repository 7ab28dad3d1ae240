import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** Kills every process of the session that `leader` began: the jobs of a shell are process groups of their own. */
export function killSession(leader: number): void {
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (Number.isInteger(pid) && sessionOf(pid) === leader) kill(pid);
  }
}

/** The fourth field after the name of the command, which may hold anything (proc(5)). */
function sessionOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
  } catch {
    return undefined;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, constants.signals.SIGKILL);
  } catch {
    // It has ended already.
  }
}
