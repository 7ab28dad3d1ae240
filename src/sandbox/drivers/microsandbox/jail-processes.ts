import { readFile } from 'node:fs/promises';
import type { HostProcess } from '../../../util/child.ts';
import { identify, killProcess, type ProcessId } from '../../../util/process-id.ts';

/** The processes of one jail, as the host sees them; the supervisor, which started them, is outside. */
export interface JailProcesses {
  /** First process in the jail: nothing in there outlives it. */
  readonly init: ProcessId;
  readonly monitor: ProcessId;
}

/** Undefined when they are gone. */
export async function findProcesses(supervisor: ProcessId): Promise<JailProcesses | undefined> {
  const [init] = await childrenOf(supervisor.pid);
  const [monitor] = init === undefined ? [] : await childrenOf(init.pid);
  return init === undefined || monitor === undefined ? undefined : { init, monitor };
}

/** Ends every process in the jail, and resolves when none is left. */
export async function endJail(supervisor: HostProcess): Promise<void> {
  // Its pid may be another's by now.
  if ((await supervisor.identify()) === undefined) return;
  const [init] = await childrenOf(supervisor.pid);
  if (init === undefined) await supervisor.kill();
  else await killProcess(init);
  await supervisor.exited;
}

async function childrenOf(pid: number): Promise<ProcessId[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const pids = text.split(' ').filter(Boolean).map(Number);
  return (await Promise.all(pids.map(identify))).filter((child) => child !== undefined);
}
