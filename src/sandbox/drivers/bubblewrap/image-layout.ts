import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageSpec } from '../../driver.ts';
import { hostImage } from '../../driver-kit/host-image.ts';

/** One part of the guest's root. */
export type Layer =
  | { readonly kind: 'bind'; readonly source: string; readonly target: string }
  | { readonly kind: 'link'; readonly to: string; readonly target: string };

/** Folders that the guest makes itself; an image never covers them. */
const OWN = ['proc', 'sys', 'dev', 'tmp', 'run', 'root', 'workspace'];

/**
 * What to show of an image so that something can be mounted at each of `targets`: a folder of the image is read-only, so no
 * mount point can be made in it. A folder that a target lies below is taken apart into its entries.
 */
export async function layoutImage(image: ImageSpec, targets: readonly string[]): Promise<readonly Layer[]> {
  if (image.kind === 'host') return collect((await hostImage()).map(({ path }) => place(path, path, targets)));
  if (image.kind !== 'directory') return [];
  const names = (await readdir(image.path)).filter((name) => !OWN.includes(name));
  return collect(names.map((name) => place(join(image.path, name), `/${name}`, targets)));
}

async function place(source: string, target: string, targets: readonly string[]): Promise<readonly Layer[]> {
  const stat = await lstat(source).catch(() => undefined);
  if (stat === undefined) return [];
  if (stat.isSymbolicLink()) return [{ kind: 'link', to: await readlink(source), target }];
  if (!stat.isDirectory() || !targets.some((each) => each.startsWith(`${target}/`)))
    return [{ kind: 'bind', source, target }];
  return collect((await readdir(source)).map((name) => place(join(source, name), join(target, name), targets)));
}

async function collect(parts: readonly Promise<readonly Layer[]>[]): Promise<readonly Layer[]> {
  return (await Promise.all(parts)).flat();
}
