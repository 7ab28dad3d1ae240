import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TempFolder extends AsyncDisposable {
  readonly path: string;
}

/** A new folder that goes away with everything in it; by default where the system keeps such folders. */
export async function tempFolder(parent = tmpdir()): Promise<TempFolder> {
  const path = await realpath(await mkdtemp(join(parent, 'workcell-test-')));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
