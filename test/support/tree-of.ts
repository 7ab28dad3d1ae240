import { chmod, mkdir, readdir, readFile, readlink, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Everything that a tree holds, with what a snapshot keeps of it. */
export async function treeOf(path: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    const full = join(entry.parentPath, entry.name);
    const name = full.slice(path.length + 1);
    if (entry.isSymbolicLink()) found[name] = `-> ${await readlink(full)}`;
    else {
      const { mode, mtimeMs } = await stat(full);
      const content = entry.isFile() ? await readFile(full, 'utf8') : 'folder';
      found[name] = `${(mode & 0o777).toString(8)} ${Math.floor(mtimeMs)} ${content}`;
    }
  }
  return found;
}

/** Three files of 15 bytes, two of them alike, two folders and a link. */
export async function fillTree(path: string): Promise<void> {
  await mkdir(join(path, 'a/empty'), { recursive: true });
  await writeFile(join(path, 'a/one'), 'one');
  await writeFile(join(path, 'a/same'), 'one');
  await writeFile(join(path, 'run'), '#!/bin/sh');
  await chmod(join(path, 'run'), 0o750);
  await symlink('/etc/passwd', join(path, 'a/link'));
  await utimes(join(path, 'a/one'), 1_000_000, 1_000_000);
  await utimes(join(path, 'a/empty'), 2_000_000, 2_000_000);
  await utimes(join(path, 'a'), 3_000_000, 3_000_000);
}
