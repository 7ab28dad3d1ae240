import { execFile } from 'node:child_process';
import { cp, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WorkcellError } from '../../../core/errors.ts';
import { RUNTIME_DIRECTORY } from '../../../protocol/guest-bootstrap.ts';
import { Child, tailOf } from '../../../util/child.ts';
import type { Cleanup } from '../../../util/cleanup.ts';
import { type Deadline, poll } from '../../../util/deadline.ts';
import type { GuestSpec } from '../../driver.ts';
import { hostImage } from '../../driver-kit/host-image.ts';
import { quote, READ_ONLY } from '../../driver-kit/mount-options.ts';
import { AgentStream } from './agent-stream.ts';
import { MicrosandboxGuest } from './guest.ts';
import { guestConfig, mountFlags, secretFlags, secretVariables } from './guest-config.ts';
import { bootLog, pinAgentSocket, writeSupervisor } from './guest-folder.ts';
import { bootCommands, guestContents } from './guest-jail.ts';
import type { ImageStore } from './images.ts';
import type { MicrosandboxInstall } from './install.ts';
import { jailCommand } from './jail.ts';
import { endJail, findProcesses } from './jail-processes.ts';
import { networkFlags } from './network-rules.ts';

export interface Bench {
  readonly install: MicrosandboxInstall;
  readonly images: ImageStore;
  /** Folder of the guest runtime. */
  readonly runtime: string;
  /** Holds the guests' private folders. */
  readonly guests: string;
}

const run = promisify(execFile);

/** Boots a guest in `folder`. What is acquired is in `undo`, which the guest runs when it has ended. */
export async function bootGuest(
  { install, images, runtime }: Bench,
  asked: GuestSpec,
  folder: string,
  undo: Cleanup,
  deadline: Deadline,
): Promise<MicrosandboxGuest> {
  const spec = withRuntime(asked, runtime);
  const layers = await provideImage(spec, images, folder, deadline);
  const programs = await hostImage();
  const folders = programs.flatMap(({ path, link }) => (link === undefined ? [path] : []));
  const config = guestConfig(spec, folders);
  await writeFile(join(folder, 'home', 'guest.json'), JSON.stringify(config), { mode: 0o600 });
  const variables = secretVariables(spec);
  const command = jailCommand({
    install,
    programs,
    root: join(folder, 'root'),
    home: join(folder, 'home'),
    network: spec.network !== undefined,
    contents: guestContents({ spec, programs, folder, ...layers }),
    commands: bootCommands({
      install,
      flags: [...mountFlags(spec), ...networkFlags(spec.network), ...secretFlags(spec)],
      secrets: variables.map(([name]) => name),
    }),
  });
  const log = join(folder, 'jail.log');
  const survives = spec.survives === true;
  const input = variables.map(([name, value]) => `export ${name}=${quote(value.reveal())}\n`).join('');
  const supervisor = await Child.start(command, { log, survives, input });
  undo.add(() => endJail(supervisor));
  const id = await supervisor.identify();
  if (id === undefined) throw await bootFailure(folder, log);
  if (survives) await writeSupervisor(folder, id);
  await poll(deadline, async () => {
    if (supervisor.gone) throw await bootFailure(folder, log);
    return (await stat(join(folder, 'home', 'ready')).catch(() => undefined)) === undefined ? undefined : true;
  });
  const processes = await findProcesses(id);
  if (processes === undefined) throw await bootFailure(folder, log);
  const agent = await connectAgent(folder, undo, deadline);
  const record = { driver: 'microsandbox', data: { folder, supervisor: id } };
  return new MicrosandboxGuest({
    processes,
    supervisor,
    agent,
    release: () => undo.run(),
    ...(survives ? { record } : {}),
  });
}

/** Connects to the agent of the guest whose private folder this is. */
export async function connectAgent(folder: string, undo: Cleanup, deadline: Deadline): Promise<AgentStream> {
  const socket = await pinAgentSocket(folder);
  undo.add(() => socket.close());
  const agent = await AgentStream.open(socket.path, deadline);
  undo.add(() => agent.close());
  return agent;
}

function withRuntime(spec: GuestSpec, runtime: string): GuestSpec {
  const mount = { kind: 'directory', path: runtime, target: RUNTIME_DIRECTORY, options: READ_ONLY } as const;
  return { ...spec, mounts: [...spec.mounts, mount] };
}

async function provideImage(
  { image }: GuestSpec,
  images: ImageStore,
  folder: string,
  deadline: Deadline,
): Promise<{ readonly layers?: string }> {
  if (image.kind === 'disk') {
    // The guest writes to it; it gets a copy of its own, by reference where the file system can.
    const copy = join(folder, 'home', `disk.${image.format}`);
    await run('cp', ['--sparse=always', '--reflink=auto', '--', image.path, copy], { signal: deadline.signal });
  }
  if (image.kind !== 'oci') return {};
  const { home } = await images.obtain(image.reference, deadline);
  await cp(join(home, 'db'), join(folder, 'home', 'db'), { recursive: true });
  return { layers: join(home, 'cache') };
}

async function bootFailure(folder: string, log: string): Promise<WorkcellError> {
  const said = await bootLog(folder);
  const reason = said === '' ? 'what it is to see of this host cannot be put together' : said;
  const cause = new Error(await tailOf(log, 2_000));
  return new WorkcellError('sandbox_boot_failed', `The virtual machine does not start: ${reason}`, { cause });
}
