import { lstat, readlink } from 'node:fs/promises';

/** Where programs lie at the top of a host; links where /usr is merged. */
const FOLDERS = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
/** Programs under /usr are reached through links there; it holds no secrets. */
const ALTERNATIVES = '/etc/alternatives';

/** A part of the image `host`: a folder of the host, shown to guests at the same path, or a link that they get too. */
export interface HostPart {
  readonly path: string;
  /** Where it leads, when it is a link. */
  readonly link: string | undefined;
}

/** What guests of the image `host` see of this host: what holds programs, and nothing else. */
export async function hostImage(): Promise<HostPart[]> {
  const parts = [...FOLDERS.map((name) => `/${name}`), ALTERNATIVES].map(async (path) => {
    const stat = await lstat(path).catch(() => undefined);
    if (stat?.isSymbolicLink() === true) return [{ path, link: await readlink(path) }];
    return stat?.isDirectory() === true ? [{ path, link: undefined }] : [];
  });
  return (await Promise.all(parts)).flat();
}
