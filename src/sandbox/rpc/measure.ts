import type { SandboxMetrics } from '../../protocol/json-rpc.ts';
import type { Sandbox } from '../sandbox.ts';
import { LABEL } from './sandbox-config.ts';

const MIB = 1024 * 1024;
/** Long enough for the kernel's clock of CPU time, which ticks each 10 ms. */
const SAMPLE_MS = 200;

/** What a sandbox uses now. Its disk is not measured: what a guest writes outside of its volumes is in its memory. */
export async function measure(sandbox: Sandbox): Promise<SandboxMetrics> {
  const { [LABEL.namespace]: namespace = '', [LABEL.sandbox]: name = '' } = sandbox.request.labels;
  const before = await sandbox.metrics().catch(() => undefined);
  const began = performance.now();
  if (before !== undefined) await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  const after = await sandbox.metrics().catch(() => undefined);
  const running = sandbox.status === 'running';
  if (before === undefined || after === undefined)
    return { namespace, name, running, cpu_usage: null, memory_usage: null, disk_usage: null };
  const usage = (100 * (after.cpuMs - before.cpuMs)) / (performance.now() - began);
  return {
    namespace,
    name,
    running,
    cpu_usage: Math.round(usage * 10) / 10,
    memory_usage: Math.round(after.residentBytes / MIB),
    disk_usage: null,
  };
}
