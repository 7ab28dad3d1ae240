import type { Config } from '../config/config.ts';
import type { ExecuteProgram } from '../executor/sandbox-executor.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';

const DATA = { nodev: true, nosuid: true, noexec: false };

/** What a customer's sandbox sees of the host, outer folders first. Only the host writes history and tools. */
export function customerMounts(
  workspace: Workspace,
  paths: Pick<Config['paths'], 'servers' | 'skills'>,
): ExecuteProgram['mounts'] {
  const bind = (host: string, guest: string, readonly: boolean) => ({
    type: 'bind' as const,
    host,
    guest,
    options: { ...DATA, readonly },
  });
  return [
    bind(workspace.filesPath, '/workspace', false),
    bind(paths.servers, '/workspace/servers', true),
    bind(workspace.sessionsPath, '/workspace/sessions', true),
    bind(workspace.skillsPath, '/workspace/skills', false),
    bind(paths.skills, '/opt/workcell/skills', true),
  ];
}
