import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { parseSessionId } from '../core/ids.ts';
import { entryError, readTar, type TarEntry, type TarLimits } from '../util/tar-reader.ts';
import { type Unpacked, Unpacking } from '../util/unpack-tree.ts';
import { entriesOf, statIfThere } from '../workspaces/merge-tree.ts';
import { replaceTree, TREE_FOLDERS } from '../workspaces/replace-tree.ts';
import { removeIfThere } from '../workspaces/staging.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import { EXPORT_FORMAT, EXPORT_HEADER, LOG_SUFFIX, SESSIONS, USAGE } from './export-customer.ts';

/** While it is there, an import has been begun and not finished. */
const IMPORTING = '.importing';
const MAX_HEADER_BYTES = 4096;
const headerSchema = z.object({ format: z.literal(EXPORT_FORMAT), customer: z.string() });

/**
 * Makes a customer what an export of it has. Throws `already_exists` when it has files, skills or sessions, `invalid_argument`
 * for an archive that is none or is somebody else's, and `busy` while anybody uses the workspace. One that was cut off is begun
 * anew by the next. The caller has the workspace alone.
 */
export async function importCustomer(
  { customer, tree, home }: Workspace,
  archive: AsyncIterable<Uint8Array>,
  limits: TarLimits,
): Promise<Unpacked> {
  if (await home.exists(IMPORTING)) await clear();
  else if (await holdsSomething()) {
    const message = `Customer "${customer}" has files, skills or sessions already; import it where it has none`;
    throw new WorkcellError('already_exists', message);
  }
  await home.makeDirectory(IMPORTING);
  try {
    let unpacked: Unpacked | undefined;
    await replaceTree(tree, async (folder) => {
      unpacked = await unpack(folder);
    });
    await home.remove(IMPORTING);
    if (unpacked === undefined) throw new Error('nothing was unpacked');
    return unpacked;
  } catch (error) {
    await clear();
    throw error;
  }

  async function unpack(folder: string): Promise<Unpacked> {
    const inTree = new Unpacking(tree, folder, 'all');
    const inHome = new Unpacking(home, '', 'all');
    let isKnown = false;
    for await (const entry of readTar(archive, limits)) {
      if (!isKnown) {
        await assertHeader(entry);
        isKnown = true;
      } else if (TREE_FOLDERS.some((name) => entry.path.startsWith(`${name}/`))) await inTree.add(entry);
      else if (isRecord(entry)) await inHome.add({ ...entry, mode: 0o600 });
      else throw entryError(entry.path, 'it does not belong into an export of a customer');
    }
    if (!isKnown) throw entryError(EXPORT_HEADER, 'it is missing; this is no export of a customer');
    const [{ files, ...rest }, records] = [await inTree.finish(), await inHome.finish()];
    return { ...rest, files: files + records.files, bytes: rest.bytes + records.bytes };
  }

  async function assertHeader(entry: TarEntry): Promise<void> {
    const isHeader = entry.type === 'file' && entry.path === EXPORT_HEADER && entry.size <= MAX_HEADER_BYTES;
    if (!isHeader) throw entryError(entry.path, `an export of a customer begins with "${EXPORT_HEADER}"`);
    const text = Buffer.concat(await Array.fromAsync(entry.content)).toString();
    const header = headerSchema.safeParse(parseJson(text));
    if (!header.success) throw entryError(entry.path, 'it is not of a version that can be read');
    if (header.data.customer === customer) return;
    throw entryError(
      entry.path,
      `it is the customer "${header.data.customer}", not "${customer}"; import it as that one`,
    );
  }

  async function holdsSomething(): Promise<boolean> {
    const counts = await Promise.all([
      ...TREE_FOLDERS.map(async (name) => (await entriesOf(tree, name)).length),
      entriesOf(home, SESSIONS).then((all) => all.filter(({ name }) => name.endsWith(LOG_SUFFIX)).length),
    ]);
    return counts.some((count) => count > 0);
  }

  async function clear(): Promise<void> {
    for (const { name } of await entriesOf(home, SESSIONS)) await home.remove(`${SESSIONS}/${name}`);
    await removeIfThere(home, USAGE);
    if ((await statIfThere(home, IMPORTING)) !== undefined) await replaceTree(tree, async () => {});
    await removeIfThere(home, IMPORTING);
  }
}

const EXECUTION_FILE = /^sessions\/\.executions\/[0-9a-f]{2}$/;

function isRecord({ path, type }: TarEntry): boolean {
  if (type !== 'file') return false;
  if (path === USAGE || EXECUTION_FILE.test(path)) return true;
  const [folder, name = '', ...deeper] = path.split('/');
  if (folder !== SESSIONS || deeper.length > 0 || !name.endsWith(LOG_SUFFIX)) return false;
  parseSessionId(name.slice(0, -LOG_SUFFIX.length));
  return true;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
