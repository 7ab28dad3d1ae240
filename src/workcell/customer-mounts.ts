import type { Config } from '../config/config.ts';
import type { ExecuteProgram } from '../executor/program-executor.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';

const DATA = { nodev: true, nosuid: true, noexec: false };

type Mounts = ExecuteProgram['mounts'];

/** What a customer's sandbox sees of the host, outer folders first. Only the host writes history and tools. */
export function customerMounts(workspace: Workspace, { paths, sandbox }: Pick<Config, 'paths' | 'sandbox'>): Mounts {
  if (sandbox.protocol === 'rpc') return writableMounts(workspace);
  return [
    bind(workspace.filesPath, '/workspace', false),
    bind(paths.servers, '/workspace/servers', true),
    bind(workspace.sessionsPath, '/workspace/sessions', true),
    bind(workspace.skillsPath, '/workspace/skills', false),
    bind(paths.skills, '/opt/workcell/skills', true),
  ];
}

/**
 * For servers that cannot mount read-only, or a folder within a mounted one: what is the customer's own. What all customers
 * share would be theirs to change.
 */
function writableMounts(workspace: Workspace): Mounts {
  return [bind(workspace.filesPath, '/workspace', false), bind(workspace.skillsPath, '/opt/workcell/skills', false)];
}

function bind(host: string, guest: string, readonly: boolean): Mounts[number] {
  return { type: 'bind', host, guest, options: { ...DATA, readonly } };
}
