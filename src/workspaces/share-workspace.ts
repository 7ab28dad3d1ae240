import { FileLock } from '../util/file-lock.ts';
import type { Workspace } from './workspace-store.ts';

type Shared = Pick<Workspace, 'customer' | 'lockPath'>;

/**
 * Holds a workspace against those who want it alone: while a sandbox has it mounted, while a file is written. Throws `busy` while
 * somebody restores, imports or removes it.
 */
export function shareWorkspace(workspace: Shared): Promise<FileLock> {
  return FileLock.acquire({ path: workspace.lockPath, what: nameOf(workspace), shared: true });
}

/** Has a workspace alone, in all processes of this host. Throws `busy` while anybody shares it. */
export function takeWorkspace(workspace: Shared): Promise<FileLock> {
  return FileLock.acquire({ path: workspace.lockPath, what: nameOf(workspace) });
}

function nameOf({ customer }: Shared): string {
  return `The workspace of "${customer}"`;
}
