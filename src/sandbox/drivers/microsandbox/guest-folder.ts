import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { Pin, walk } from '../../../util/path-gate.ts';
import { isRunning, ownId, type ProcessId, processIdSchema } from '../../../util/process-id.ts';

const run = promisify(execFile);
const SUPERVISOR = 'supervisor.json';
const MAX_LOG_BYTES = 2_000;

/**
 * A new private folder for one guest. Its name says which process it belongs to, so that {@link sweepGuestFolders} knows
 * the abandoned. In the jail `home/` is what msb keeps, and `layers/` what the guest changes in its image.
 */
export async function makeGuestFolder(guests: string): Promise<string> {
  await mkdir(guests, { recursive: true, mode: 0o700 });
  const { pid, startTicks } = await ownId();
  const folder = await mkdtemp(join(guests, `${pid}.${startTicks}.`));
  for (const name of ['root', 'home', 'layers']) await mkdir(join(folder, name), { mode: 0o700 });
  return folder;
}

/** Remembers on which process a guest depends that outlives us. */
export async function writeSupervisor(folder: string, supervisor: ProcessId): Promise<void> {
  await writeFile(join(folder, SUPERVISOR), JSON.stringify(supervisor), { mode: 0o600 });
}

/** Removes what is left of guests that have ended without anybody to clean up. */
export async function sweepGuestFolders(guests: string): Promise<void> {
  for (const name of await readdir(guests).catch(() => [])) {
    const [pid, startTicks = ''] = name.split('.');
    if (await isRunning({ pid: Number(pid), startTicks })) continue;
    const text = await readFile(join(guests, name, SUPERVISOR), 'utf8').catch(() => undefined);
    if (text !== undefined && (await isRunning(processIdSchema.parse(JSON.parse(text))))) continue;
    await removeGuestFolder(join(guests, name));
  }
}

/** However deep a guest has nested its folders. */
export async function removeGuestFolder(folder: string): Promise<void> {
  await run('rm', ['-rf', '--one-file-system', '--', folder]);
}

/**
 * Pins the socket of the agent's relay, so that nothing that the machine monitor puts in its place later is ever connected to.
 *
 * Source of the name: superradcompany/microsandbox `crates/runtime/lib/ipc.rs`.
 */
export async function pinAgentSocket(folder: string): Promise<Pin> {
  const hash = createHash('sha256').update('guest').digest('hex').slice(0, 24);
  const names = ['home', 'run', 'sandboxes', hash, 'agent.sock'];
  const pin = await walk(await Pin.root(folder), names);
  if (pin.stats.isSocket()) return pin;
  await pin.close();
  throw new Error('The agent of the guest has no socket');
}

/** The end of what `msb` said; it knows no path of the host. Empty when it was not started. */
export async function bootLog(folder: string): Promise<string> {
  try {
    await using pin = (await walk(await Pin.root(folder), ['home', 'boot.log'])).assertFile();
    const text = await readFile(pin.path, 'utf8');
    return text.slice(-MAX_LOG_BYTES).trim();
  } catch {
    return '';
  }
}
