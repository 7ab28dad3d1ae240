import { posix } from 'node:path';
import { messageOf, WorkcellError } from '../core/errors.ts';
import type { FsOpenOptions } from '../protocol/agent-messages.ts';
import type { CreateSandboxRequest, PatchRequest } from '../protocol/rest.ts';
import type { Deadline } from '../util/deadline.ts';
import type { GuestCaller } from './guest-caller.ts';

/** Where the original lays scripts, and has them found by commands: `crates/agentd/lib/config.rs`. */
export const SCRIPTS_FOLDER = '/.msb/scripts';
const SCRIPT_MODE = 0o755;

/** Whether a guest of this request needs {@link setUpGuest}. */
export function needsSetup({ patches, runtime }: CreateSandboxRequest): boolean {
  return patches.length > 0 || Object.keys(runtime.scripts).length > 0;
}

/** Makes the changes that a request asks for in the guest's root, in their order. Throws `sandbox_boot_failed`, naming one. */
export async function setUpGuest(guest: GuestCaller, request: CreateSandboxRequest, deadline: Deadline): Promise<void> {
  for (const [name, text] of Object.entries(request.runtime.scripts)) {
    const path = `${SCRIPTS_FOLDER}/${name}`;
    await named(`script "${name}"`, () =>
      putFile(guest, { path, content: Buffer.from(text), mode: SCRIPT_MODE, replace: true }, deadline),
    );
  }
  for (const [index, patch] of request.patches.entries()) {
    await named(`patch ${index + 1} ("${patch.type}")`, () => applyPatch(guest, patch, deadline));
  }
}

async function named(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new WorkcellError('sandbox_boot_failed', `Cannot apply ${what}: ${messageOf(cause)}`, { cause });
  }
}

async function applyPatch(guest: GuestCaller, patch: PatchRequest, deadline: Deadline): Promise<void> {
  switch (patch.type) {
    case 'text':
      return putFile(guest, { ...patch, content: Buffer.from(patch.content) }, deadline);
    case 'file':
      return putFile(guest, { ...patch, content: Buffer.from(patch.content) }, deadline);
    case 'append':
      return guest.writeFile(patch.path, Buffer.from(patch.content), { ...WRITE, append: true }, deadline);
    case 'mkdir':
      await guest.fs({ Mkdir: { path: patch.path } }, deadline);
      return setMode(guest, patch.path, patch.mode, deadline);
    case 'symlink':
      await makeParent(guest, patch.link, deadline);
      if (patch.replace) await removePath(guest, patch.link, deadline);
      await guest.fs({ Symlink: { target: patch.target, link_path: patch.link } }, deadline);
      return;
    case 'remove':
      return removePath(guest, patch.path, deadline);
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

async function putFile(guest: GuestCaller, file: NewFile, deadline: Deadline): Promise<void> {
  const { path, content, mode, replace } = file;
  await makeParent(guest, path, deadline);
  const how = replace ? { create: true, truncate: true } : { create_new: true };
  await guest.writeFile(path, content, { ...WRITE, ...how, mode: mode ?? null }, deadline);
  await setMode(guest, path, mode, deadline);
}

async function makeParent(guest: GuestCaller, path: string, deadline: Deadline): Promise<void> {
  const parent = posix.dirname(path);
  if (parent !== '/') await guest.fs({ Mkdir: { path: parent } }, deadline);
}

/** What was given at creation is subject to the agent's mask. */
async function setMode(
  guest: GuestCaller,
  path: string,
  mode: number | null | undefined,
  deadline: Deadline,
): Promise<void> {
  if (mode === undefined || mode === null) return;
  await guest.fs({ SetStat: { path, follow_symlink: true, attrs: { mode } } }, deadline);
}

/** What is not there needs no removing. */
async function removePath(guest: GuestCaller, path: string, deadline: Deadline): Promise<void> {
  const found = await guest.fs({ Stat: { path, follow_symlink: false } }, deadline).catch(() => undefined);
  if (found === undefined || !('Stat' in found)) return deadline.check();
  const isFolder = found.Stat.kind === 'dir';
  await guest.fs(isFolder ? { RemoveDir: { path, recursive: true } } : { Remove: { path } }, deadline);
}
