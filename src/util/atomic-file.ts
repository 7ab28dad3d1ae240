import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from './errno.ts';

/** Replaces a file as a whole: readers see the old content or the new one, also after a crash. Makes the folder. */
export async function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * As {@link writeFileAtomic}, for a file of the user's: one that is there keeps its permissions, and stays where it is when
 * `path` is a link to it.
 */
export async function rewriteFileAtomic(path: string, content: string): Promise<void> {
  const present = await stat(path).catch((error) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (present === undefined) await writeFileAtomic(path, content);
  else await writeFileAtomic(await realpath(path), content, present.mode & 0o777);
}

/** Writes only when the content differs; tells whether it did. */
export async function writeFileIfChanged(path: string, content: string): Promise<boolean> {
  if ((await readTextIfExists(path)) === content) return false;
  await writeFileAtomic(path, content);
  return true;
}

/** The file's text, or undefined when there is no such file. */
export async function readTextIfExists(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
