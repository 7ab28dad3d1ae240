import { packTree, type Skipped } from '../util/pack-tree.ts';
import { tarEnd, tarFile, tarStream } from '../util/tar-writer.ts';
import { entriesOf, statIfThere } from '../workspaces/merge-tree.ts';
import { TREE_FOLDERS } from '../workspaces/replace-tree.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';

/** The first entry of an export: what it is, and whose. */
export const EXPORT_HEADER = 'workcell-customer.json';
export const EXPORT_FORMAT = 1;
export const SESSIONS = 'sessions';
export const USAGE = 'usage.json';
export const LOG_SUFFIX = '.jsonl';
/** Which executions there have been, also those whose session was deleted: none of them is ever run again. */
const EXECUTIONS = `${SESSIONS}/.executions`;

export interface ExportOptions {
  readonly onSkipped?: ((skipped: Skipped) => void) | undefined;
}

/**
 * A whole customer as a tar archive: files, skills, logs of sessions as they are on disk, and what tools were used for. Snapshots,
 * credentials and keys stay. Logs that are encrypted stay so, and need their key where they are imported.
 */
export async function* exportCustomer(
  { customer, tree, home }: Workspace,
  options: ExportOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const now = new Date();
  const header = { format: EXPORT_FORMAT, customer, exportedAt: now.toISOString() };
  yield tarFile(EXPORT_HEADER, `${JSON.stringify(header)}\n`, now);
  for (const folder of TREE_FOLDERS) yield* packTree(tree, folder, { ...options, prefix: folder });
  const logs = (await entriesOf(home, SESSIONS)).filter(({ name }) => name.endsWith(LOG_SUFFIX));
  for (const { name, kind } of logs) if (kind === 'file') yield* packFile(`${SESSIONS}/${name}`);
  const register = (await statIfThere(home, EXECUTIONS)) === undefined ? [] : await entriesOf(home, EXECUTIONS);
  for (const { name, kind } of register) if (kind === 'file') yield* packFile(`${EXECUTIONS}/${name}`);
  if ((await statIfThere(home, USAGE)) !== undefined) yield* packFile(USAGE);
  yield tarEnd();

  async function* packFile(path: string): AsyncGenerator<Uint8Array, void> {
    const { size, stream, info } = await home.openFile(path);
    yield* tarStream({ path, type: 'file', mode: 0o600, modifiedAt: info.modifiedAt, size }, stream);
  }
}
