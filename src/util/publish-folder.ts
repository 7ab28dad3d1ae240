import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { succeeds } from './errno.ts';

/**
 * Makes a folder as a whole or not at all. `fill` gets an empty one beside it, and gives what is to take the place: this one,
 * or a folder in it. Where another process was quicker, what that one made stays: it is as good.
 */
export async function publishFolder(folder: string, fill: (staging: string) => Promise<string>): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const staging = await mkdtemp(`${folder}-`);
  try {
    await succeeds(rename(await fill(staging), folder), ['ENOTEMPTY', 'EEXIST']);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}
