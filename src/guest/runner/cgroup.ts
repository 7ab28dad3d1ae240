import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';

const ROOT = '/sys/fs/cgroup';
const MAX_PROCESSES = 512;
/** Left to the agent, the kernel's own needs and the page cache of the guest runtime. */
const RESERVED_BYTES = 96 * 1024 * 1024;

let last = 0;

/**
 * A control group around one program: bounds its memory and number of processes, and ends all of them together, also
 * those that left its process group.
 */
export class Cgroup {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Undefined where the guest has no writable cgroup v2 tree, as on other people's images. */
  static create(pid: number): Cgroup | undefined {
    try {
      if (!existsSync(`${ROOT}/cgroup.subtree_control`)) return undefined;
      if (last === 0) writeFileSync(`${ROOT}/cgroup.subtree_control`, '+memory +pids +cpu');
      last += 1;
      const path = `${ROOT}/program-${last}`;
      mkdirSync(path);
      writeFileSync(`${path}/memory.max`, String(Math.max(totalmem() - RESERVED_BYTES, totalmem() / 2)));
      writeFileSync(`${path}/memory.oom.group`, '1');
      writeFileSync(`${path}/pids.max`, String(MAX_PROCESSES));
      writeFileSync(`${path}/cgroup.procs`, String(pid));
      const cgroup = new Cgroup(path);
      cgroup.setIdle(true);
      return cgroup;
    } catch {
      return undefined;
    }
  }

  /** True: its processes run only when no other wants to. */
  setIdle(idle: boolean): void {
    try {
      writeFileSync(`${this.#path}/cpu.idle`, idle ? '1' : '0');
    } catch {
      // Kernels before 5.15 have no such choice.
    }
  }

  kill(): void {
    try {
      writeFileSync(`${this.#path}/cgroup.kill`, '1');
    } catch {
      // Removed already.
    }
  }

  ranOutOfMemory(): boolean {
    return memoryKills(this.#path) > 0;
  }

  /** Killed processes leave their group a moment after their parent has seen them go. */
  async remove(): Promise<void> {
    for (let attempt = 0; attempt < 50; attempt++) {
      try {
        rmdirSync(this.#path);
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
  }
}

/** How many processes of a group the kernel has killed for want of memory: by default of the whole guest, where that is bounded from outside. */
export function memoryKills(path = ROOT): number {
  try {
    return Number(/^oom_kill (\d+)/m.exec(readFileSync(`${path}/memory.events`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
