import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Deadline } from '../util/deadline.ts';
import { FileLock } from '../util/file-lock.ts';

const LOCK_TIMEOUT_MS = 10_000;

/** One process at a time writes a server's folder. Throws `deadline_exceeded` when another one does not end. */
export async function lockServer(servers: string, server: string): Promise<AsyncDisposable> {
  await mkdir(servers, { recursive: true });
  const what = `The folder servers/${server}`;
  using deadline = new Deadline(`Waiting for ${what}`, LOCK_TIMEOUT_MS);
  return await FileLock.wait({ path: join(servers, `.${server}.lock`), what }, deadline);
}
