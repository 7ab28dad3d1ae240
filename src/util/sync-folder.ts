import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** Resolves when the names in a folder, which a crash could take back until then, are on disk. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await folder.sync();
}
