import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { fillRuntime, type RuntimeInputs, writeRuntimeScript } from '../../guest-runtime/runtime-folder.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;
/** What the initramfs starts at last; the kernel hands `agent_flags` of its command line on. */
export const INIT = '$node $agent_flags /.workcell/runtime/agentd.mjs 2>/dev/ttyS0\npoweroff -f';

/** Writes the guest runtime as one read-only ext4 image. */
export async function writeRuntimeImage(inputs: RuntimeInputs, path: string, mke2fs: string): Promise<void> {
  const folder = await mkdtemp(`${path}-`);
  try {
    await fillRuntime(inputs, folder);
    await writeRuntimeScript(folder, 'init', INIT);
    const mib = Math.ceil(((await totalSize(folder)) / MIB) * 1.15) + 16;
    await run(mke2fs, ['-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', folder, path, `${mib}M`]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function totalSize(folder: string): Promise<number> {
  const { stdout } = await run('du', ['-sb', folder]);
  const bytes = Number.parseInt(stdout, 10);
  return Number.isFinite(bytes) ? bytes : (await stat(folder)).size;
}
