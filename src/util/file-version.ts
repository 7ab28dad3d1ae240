import { stat } from 'node:fs/promises';
import { errnoOf } from './errno.ts';

/**
 * Tells one content of a file that is replaced as a whole from another, without reading it; `absent` for a file that is not
 * there. Taken before the content is read, it is never newer than that.
 */
export async function fileVersion(path: string): Promise<string> {
  try {
    const { ino, mtimeNs, size } = await stat(path, { bigint: true });
    return `${ino}:${mtimeNs}:${size}`;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'absent';
    throw error;
  }
}
