import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WorkcellError } from '../../../core/errors.ts';
import { Child, DIES_WITH_US } from '../../../util/child.ts';
import { type Deadline, poll } from '../../../util/deadline.ts';
import { publishFolder } from '../../../util/publish-folder.ts';
import { awaitWaiting } from './agent-link.ts';
import { agentSocket, type MachineOptions, machineCommand, machineIdentity, qmpSocket } from './machine.ts';
import { Qmp } from './qmp.ts';
import { connectUnix, receiveFile, sendFile } from './unix-socket.ts';

/** A saved machine that belongs to nobody: kernel and guest runtime, booted, waiting to be claimed. */
export interface Template {
  readonly memory: string;
  readonly state: string;
}

type TemplateOptions = Omit<MachineOptions, 'folder' | 'memory' | 'incoming' | 'share'>;

// Memory that is a shared file stays where it is; only the devices' state is written.
const CAPABILITIES = { capabilities: [{ capability: 'x-ignore-shared', state: true }] };

const run = promisify(execFile);

/** The template in `cache` for exactly this machine, or undefined when there is none yet. */
export async function findTemplate(
  cache: string,
  options: TemplateOptions,
  version: string,
): Promise<Template | undefined> {
  const folder = templateFolder(cache, options, version);
  return (await stat(folder).catch(() => undefined)) === undefined ? undefined : filesOf(folder);
}

/** Boots a machine up to the point where it waits for a customer, and saves it. */
export async function makeTemplate(
  cache: string,
  options: TemplateOptions,
  version: string,
  runDirectory: string,
  deadline: Deadline,
): Promise<Template> {
  const folder = templateFolder(cache, options, version);
  await publishFolder(folder, async (staging) => {
    const sockets = await mkdtemp(join(runDirectory, 'template-'));
    try {
      await saveMachine(options, filesOf(staging), sockets, deadline);
      return staging;
    } finally {
      await rm(sockets, { recursive: true, force: true });
    }
  });
  return filesOf(folder);
}

async function saveMachine(
  options: TemplateOptions,
  files: Template,
  folder: string,
  deadline: Deadline,
): Promise<void> {
  const command = machineCommand({ ...options, folder, memory: files.memory, incoming: false });
  const machine = await Child.start(command, { log: join(folder, 'qemu.log'), survives: false });
  try {
    const qmp = await Qmp.connect(qmpSocket(folder), deadline);
    const agent = await connectUnix(agentSocket(folder), deadline);
    await awaitWaiting(agent, deadline);
    await qmp.execute('stop', {}, deadline);
    await qmp.execute('migrate-set-capabilities', CAPABILITIES, deadline);
    const channel = join(folder, 'state.sock');
    await receiveFile(channel, files.state, deadline, async () => {
      await qmp.execute('migrate', { uri: `unix:${channel}` }, deadline);
      await awaitMigration(qmp, deadline);
    });
    agent.destroy();
    qmp.close();
  } finally {
    await machine.kill();
  }
}

/** A copy of the template's memory: by reference where the file system can, without its holes otherwise. */
export async function copyMemory(template: Template, to: string, deadline: Deadline): Promise<void> {
  const [program, ...args] = [...DIES_WITH_US, 'cp', '--sparse=always', '--reflink=auto', template.memory, to] as const;
  await run(program, args, { signal: deadline.signal });
}

/** Loads the template's state into a machine that waits for it; the machine stays paused. */
export async function restoreState(template: Template, qmp: Qmp, folder: string, deadline: Deadline): Promise<void> {
  await qmp.execute('migrate-set-capabilities', CAPABILITIES, deadline);
  const channel = join(folder, 'state.sock');
  await qmp.execute('migrate-incoming', { uri: `unix:${channel}` }, deadline);
  await sendFile(template.state, channel, deadline);
  await poll(
    deadline,
    async () => {
      const { status } = (await qmp.execute('query-status', {}, deadline)) as { status: string };
      return status === 'inmigrate' ? undefined : status;
    },
    2,
  );
}

async function awaitMigration(qmp: Qmp, deadline: Deadline): Promise<void> {
  const status = await poll(deadline, async () => {
    const answer = (await qmp.execute('query-migrate', {}, deadline)) as { status?: string };
    return answer.status === 'completed' || answer.status === 'failed' ? answer.status : undefined;
  });
  if (status === 'failed') throw new WorkcellError('sandbox_boot_failed', 'QEMU cannot save the template');
}

function templateFolder(cache: string, options: TemplateOptions, version: string): string {
  const identity = [version, options.assets.key, machineIdentity(options.accelerator, options)].join('\n');
  return join(cache, 'templates', createHash('sha256').update(identity).digest('hex').slice(0, 16));
}

function filesOf(folder: string): Template {
  return { memory: join(folder, 'memory'), state: join(folder, 'state') };
}
