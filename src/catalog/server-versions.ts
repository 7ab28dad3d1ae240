import { join } from 'node:path';
import { fileVersion } from '../util/file-version.ts';
import { serverFolders } from './tool-catalog.ts';

/**
 * Tells what the folder of each server says of its tools, and of those that are approved, from what it said before, without
 * reading it. Taken before that is read, it is never newer.
 */
export async function serverVersions(servers: string): Promise<ReadonlyMap<string, string>> {
  const names = await serverFolders(servers);
  const versions = names.map(async (name) => {
    const files = ['manifest.json', 'approved.json'].map((file) => fileVersion(join(servers, name, file)));
    return [name, (await Promise.all(files)).join(' ')] as const;
  });
  return new Map(await Promise.all(versions));
}
