import { posix } from 'node:path';
import { messageOf, WorkcellError } from '../core/errors.ts';
import type { AgentClient } from '../protocol/agent-client.ts';
import type { FsOpenOptions } from '../protocol/agent-messages.ts';
import type { CreateSandboxRequest, PatchRequest } from '../protocol/rest.ts';
import type { Deadline } from '../util/deadline.ts';
import { attachAgentClient } from './attach-agent-client.ts';
import type { AgentRelay } from './relay.ts';
import type { SandboxLog } from './sandbox-log.ts';

/** Where the original lays scripts, and has them found by commands: `crates/agentd/lib/config.rs`. */
export const SCRIPTS_FOLDER = '/.msb/scripts';
const SCRIPT_MODE = 0o755;

/**
 * Makes the changes that a request asks for in the root of a fresh guest, in their order, and then starts its command, whose
 * output and failure are in the log. Throws `sandbox_boot_failed`, naming the change that cannot be made.
 */
export async function setUpGuest(
  relay: AgentRelay,
  request: CreateSandboxRequest,
  log: SandboxLog,
  deadline: Deadline,
): Promise<void> {
  const { cmd, scripts } = request.runtime;
  if (request.patches.length > 0 || Object.keys(scripts).length > 0) {
    using guest = await open(relay, deadline);
    await deadline.race(applyChanges(guest, request));
  }
  if (cmd?.length) startCommand(await open(relay, deadline), request, log);
}

async function open(relay: AgentRelay, deadline: Deadline): Promise<AgentClient> {
  const guest = attachAgentClient((client) => relay.attach(client));
  await deadline.race(guest.ready);
  return guest;
}

async function applyChanges(guest: AgentClient, request: CreateSandboxRequest): Promise<void> {
  for (const [name, text] of Object.entries(request.runtime.scripts)) {
    const path = `${SCRIPTS_FOLDER}/${name}`;
    const content = Buffer.from(text);
    await named(`script "${name}"`, () => putFile(guest, { path, content, mode: SCRIPT_MODE, replace: true }));
  }
  for (const [index, patch] of request.patches.entries()) {
    await named(`patch ${index + 1} ("${patch.type}")`, () => applyPatch(guest, patch));
  }
}

/** It runs for as long as the sandbox lets it, with its output in the log; its end is not the sandbox's. */
function startCommand(guest: AgentClient, { runtime }: CreateSandboxRequest, log: SandboxLog): void {
  const [command = '', ...args] = [...(runtime.entrypoint ?? []), ...(runtime.cmd ?? [])];
  const running = guest.exec(
    { cmd: command, args },
    {
      onOutput: () => {},
      onEnd: (end) => {
        if (typeof end !== 'number') log.append('system', `The command "${command}" failed: ${end.message}\n`);
        guest[Symbol.dispose]();
      },
    },
  );
  running.closeInput();
}

async function named(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new WorkcellError('sandbox_boot_failed', `Cannot apply ${what}: ${messageOf(cause)}`, { cause });
  }
}

async function applyPatch(guest: AgentClient, patch: PatchRequest): Promise<void> {
  switch (patch.type) {
    case 'text':
      return putFile(guest, { ...patch, content: Buffer.from(patch.content) });
    case 'file':
      return putFile(guest, { ...patch, content: Buffer.from(patch.content) });
    case 'append':
      return guest.writeFile(patch.path, Buffer.from(patch.content), { ...WRITE, append: true });
    case 'mkdir':
      await guest.fs({ Mkdir: { path: patch.path } });
      return setMode(guest, patch.path, patch.mode);
    case 'symlink':
      await makeParent(guest, patch.link);
      if (patch.replace) await removePath(guest, patch.link);
      await guest.fs({ Symlink: { target: patch.target, link_path: patch.link } });
      return;
    case 'remove':
      return removePath(guest, patch.path);
    case 'copy_file':
    case 'copy_dir':
      throw new WorkcellError('unsupported', 'This server copies nothing of the host; mount it');
    default:
      return patch satisfies never;
  }
}

const WRITE: FsOpenOptions = {
  read: false,
  write: true,
  append: false,
  create: false,
  truncate: false,
  create_new: false,
  mode: null,
};

interface NewFile {
  readonly path: string;
  readonly content: Uint8Array;
  readonly mode?: number | null | undefined;
  readonly replace: boolean;
}

async function putFile(guest: AgentClient, file: NewFile): Promise<void> {
  const { path, content, mode, replace } = file;
  await makeParent(guest, path);
  const how = replace ? { create: true, truncate: true } : { create_new: true };
  await guest.writeFile(path, content, { ...WRITE, ...how, mode: mode ?? null });
  await setMode(guest, path, mode);
}

async function makeParent(guest: AgentClient, path: string): Promise<void> {
  const parent = posix.dirname(path);
  if (parent !== '/') await guest.fs({ Mkdir: { path: parent } });
}

/** What was given at creation is subject to the agent's mask. */
async function setMode(guest: AgentClient, path: string, mode: number | null | undefined): Promise<void> {
  if (mode === undefined || mode === null) return;
  await guest.fs({ SetStat: { path, follow_symlink: true, attrs: { mode } } });
}

/** What is not there needs no removing. */
async function removePath(guest: AgentClient, path: string): Promise<void> {
  const found = await guest.fs({ Stat: { path, follow_symlink: false } }).catch(() => undefined);
  if (found === undefined || !('Stat' in found)) return;
  const isFolder = found.Stat.kind === 'dir';
  await guest.fs(isFolder ? { RemoveDir: { path, recursive: true } } : { Remove: { path } });
}
