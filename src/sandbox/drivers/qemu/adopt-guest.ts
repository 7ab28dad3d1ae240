import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { ForeignProcess } from '../../../util/child.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { isRunning, ownId } from '../../../util/process-id.ts';
import type { GuestRecord } from '../../driver.ts';
import { adopt } from './agent-link.ts';
import { QemuGuest } from './guest.ts';
import { type GuestData, parseGuestData, readGuestFile, writeGuestFile } from './guest-file.ts';
import { agentSocket } from './machine.ts';
import { isGuestFolder, ORPHANED, removeGuestFolder } from './run-directory.ts';
import { connectUnix } from './unix-socket.ts';

/** One try to reach the agent; half of a message that the old host has sent is forgotten when we hang up. */
const ATTEMPT_MS = 3_000;

/**
 * Takes over the guest of this record from a process that has ended. Undefined when it is gone, belongs to a process that
 * lives, or does not answer in time; in the first and the last case nothing of it is left.
 */
export async function adoptGuest(
  record: GuestRecord,
  deadline: Deadline,
): Promise<{ guest: QemuGuest; folder: string } | undefined> {
  const data = parseGuestData(record.data);
  if (data === undefined || !isGuestFolder(data.folder)) return undefined;
  const { folder, boot, network } = data;
  const file = await readGuestFile(folder);
  if (file !== undefined && (await isRunning(file.owner))) return undefined;
  const agent = await takeOver(data, deadline);
  if (agent === undefined) {
    await removeGuestFolder(folder);
    return undefined;
  }
  const [machine, fileServer] = [new ForeignProcess(data.machine), new ForeignProcess(data.fileServer)];
  return { guest: new QemuGuest({ boot, machine, fileServer, agent, folder, network, record, kept: true }), folder };
}

async function takeOver({ folder, machine, fileServer }: GuestData, deadline: Deadline): Promise<Socket | undefined> {
  if (!(await isRunning(machine)) || !(await isRunning(fileServer))) return undefined;
  await writeGuestFile(folder, { owner: await ownId() });
  await rm(join(folder, ORPHANED), { force: true });
  while (deadline.remainingMs > 0 && (await isRunning(machine))) {
    using attempt = deadline.child('Adopting a sandbox', ATTEMPT_MS);
    const agent = await connectUnix(agentSocket(folder), attempt).catch(() => undefined);
    if (agent === undefined) continue;
    try {
      await adopt(agent, attempt);
      return agent;
    } catch {
      agent.destroy();
    }
  }
  return undefined;
}
