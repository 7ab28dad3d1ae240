import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { quote } from '../../driver-kit/mount-options.ts';
import { GUEST_ETC } from '../../guest-runtime/obtain-runtime.ts';
import { type GuestKernel, readModule } from './kernel.ts';

/**
 * Writes the first file system of the guest: busybox, the modules, and the script that mounts the guest runtime and
 * starts the agent in a root of its own. Not compressed: unpacking costs an emulated CPU more than reading does.
 */
export async function writeInitramfs(kernel: GuestKernel, path: string): Promise<void> {
  const archive = new CpioArchive();
  for (const folder of ['bin', 'lib', 'proc', 'sys', 'dev', 'newroot']) archive.folder(folder);
  archive.file('bin/busybox', await readFile(kernel.busybox), 0o755);
  for (const module of kernel.modules) archive.file(`lib/${moduleName(module)}`, await readModule(module), 0o644);
  archive.file('init', Buffer.from(initScript(kernel.modules.map(moduleName))), 0o755);
  await writeFile(path, archive.end());
}

/** How the script of an initramfs begins; it has folders of these names, and busybox. */
export const INIT_HEAD = `#!/bin/busybox sh
export PATH=/bin
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
`;

/** What every root needs, before it is switched to; it is the working directory, with the folders proc, sys, dev and etc. */
export const ROOT_BASICS: string = `$bb mount --move /proc proc
$bb mount --move /sys sys
$bb mount --move /dev dev
$bb mkdir -p dev/pts dev/shm
$bb mount -t devpts devpts dev/pts
$bb mount -t tmpfs shm dev/shm
$bb mount -t cgroup2 cgroup2 sys/fs/cgroup
$bb ln -s /proc/self/fd dev/fd
$bb ln -s /proc/self/fd/0 dev/stdin
$bb ln -s /proc/self/fd/1 dev/stdout
$bb ln -s /proc/self/fd/2 dev/stderr
${Object.entries(GUEST_ETC)
  .map(([name, text]) => `$bb printf %s ${quote(text)} > etc/${name}\n`)
  .join('')}`;

/** What the initramfs does, as text: part of what a template depends on. */
export function initScript(modules: readonly string[]): string {
  return `${INIT_HEAD}for module in ${modules.join(' ')}; do $bb insmod /lib/$module; done
root=/newroot
$bb mount -t tmpfs -o mode=0755,size=50% root $root
cd $root
$bb mkdir -p .workcell/runtime .workcell/view .workcell/overlay opt/workcell proc sys dev etc run root workspace
$bb mkdir -p -m 1777 tmp
$bb mount -t tmpfs overlay .workcell/overlay
$bb mount -t ext4 -o ro,noload /dev/vda .workcell/runtime
$bb mount --bind .workcell/runtime opt/workcell
${ROOT_BASICS}$bb ifconfig lo 127.0.0.1 up
echo -1000 > /newroot/proc/self/oom_score_adj
exec $bb switch_root $root /opt/workcell/bin/init
`;
}

/** The name of a module's file once it is unpacked. */
export function moduleName(file: string): string {
  return basename(file).replace(/\.xz$/, '');
}

/** The "newc" cpio format of the kernel's `Documentation/driver-api/early-userspace/buffer-format`. */
export class CpioArchive {
  readonly #parts: Buffer[] = [];
  #inode = 1;

  folder(name: string): void {
    this.#entry(name, 0o040755, Buffer.alloc(0));
  }

  file(name: string, content: Buffer, mode: number): void {
    this.#entry(name, 0o100000 | mode, content);
  }

  end(): Buffer {
    this.#entry('TRAILER!!!', 0, Buffer.alloc(0));
    return Buffer.concat(this.#parts);
  }

  #entry(name: string, mode: number, content: Buffer): void {
    const fields = [this.#inode++, mode, 0, 0, 1, 0, content.byteLength, 0, 0, 0, 0, name.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
    this.#parts.push(padded(Buffer.from(header, 'latin1')), padded(content));
  }
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.byteLength % 4)) % 4)]);
}
