import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { isWorkcellError } from '../../src/core/errors.ts';
import { hostCommand } from '../../src/util/host-command.ts';
import { tempFolder } from './temp-folder.ts';

/** File systems on which files can share blocks. */
export const SHARING = ['xfs', 'btrfs'] as const;

export interface MountedFileSystem extends AsyncDisposable {
  readonly path: string;
}

/** The least that mkfs.xfs takes, twice. */
const BYTES = 600 * 1024 ** 2;
const PROGRAMS = { xfs: 'xfsprogs', btrfs: 'btrfs-progs' } as const;

/** A new file system in a sparse file, mounted until it is disposed of; where this host cannot, why. */
export async function mountFileSystem(kind: (typeof SHARING)[number]): Promise<MountedFileSystem | string> {
  if (process.geteuid?.() !== 0) return 'only root can mount a file system';
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const [image, path] = [join(folder.path, 'image'), join(folder.path, 'mounted')];
  await mkdir(path);
  await using file = await open(image, 'w');
  await file.truncate(BYTES);
  try {
    await hostCommand(`mkfs.${kind}`, ['-q', image], { package: PROGRAMS[kind] });
    await hostCommand('mount', ['-t', kind, '-o', 'loop', image, path], { package: 'mount' });
  } catch (error) {
    if (isWorkcellError(error)) return error.message;
    throw error;
  }
  stack.defer(async () => void (await hostCommand('umount', [path], { package: 'mount' })));
  const undo = stack.move();
  return { path, [Symbol.asyncDispose]: () => undo.disposeAsync() };
}
