import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkcellError } from '../../../core/errors.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { findCommand } from '../../../util/find-command.ts';
import { publishFolder } from '../../../util/publish-folder.ts';
import type { OnProgress } from '../../driver.ts';
import { runtimeKey } from '../../guest-runtime/runtime-folder.ts';
import { initScript, writeInitramfs } from './initramfs.ts';
import { type GuestKernel, obtainKernel } from './kernel.ts';
import { INIT, writeRuntimeImage } from './runtime-image.ts';

/** What every guest boots from; the same for all customers. */
export interface GuestAssets {
  readonly kernel: string;
  readonly initramfs: string;
  readonly runtime: string;
  readonly kernelVersion: string;
  /** Changes when anything that a guest boots from changes. */
  readonly key: string;
}

const PROGRAMS = ['agentd', 'runner', 'program'];

/** The assets in `cache`, made when they are not there yet or when something that they are made of has changed. */
export async function obtainAssets(cache: string, deadline: Deadline, onProgress: OnProgress): Promise<GuestAssets> {
  const kernel = await obtainKernel(cache, deadline, onProgress);
  const recipe = `${kernel.version}\n${initScript(kernel.modules)}\n${INIT}`;
  const key = await runtimeKey(recipe, [kernel.image, kernel.busybox], PROGRAMS);
  const folder = join(cache, `guest-${key}`);
  if ((await stat(folder).catch(() => undefined)) === undefined) await build(kernel, folder, onProgress);
  return {
    kernel: kernel.image,
    initramfs: join(folder, 'initramfs.cpio'),
    runtime: join(folder, 'runtime.img'),
    kernelVersion: kernel.version,
    key,
  };
}

async function build(kernel: GuestKernel, folder: string, onProgress: OnProgress): Promise<void> {
  const mke2fs = await findCommand('mke2fs');
  if (mke2fs === undefined)
    throw new WorkcellError(
      'driver_unavailable',
      'Cannot make the guest runtime: mke2fs is missing; install e2fsprogs',
    );
  onProgress('building the guest runtime');
  await publishFolder(folder, async (staging) => {
    await writeInitramfs(kernel, join(staging, 'initramfs.cpio'));
    await writeRuntimeImage(
      { node: process.execPath, busybox: kernel.busybox, programs: PROGRAMS },
      join(staging, 'runtime.img'),
      mke2fs,
    );
    return staging;
  });
}
