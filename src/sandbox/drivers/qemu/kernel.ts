import { execFile } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf, WorkcellError } from '../../../core/errors.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { publishFolder } from '../../../util/publish-folder.ts';
import type { OnProgress } from '../../driver.ts';

/** Debian's kernel for virtual machines, and a userland in one static file. */
const KERNEL_PACKAGE = 'linux-image-cloud-amd64';
const BUSYBOX_PACKAGE = 'busybox-static';
/** What the guest needs as modules; ext4 is built in. */
const MODULES = ['virtiofs', 'virtio_pci', 'virtio_console', 'virtio_blk', 'overlay'];

const run = promisify(execFile);

export interface GuestKernel {
  readonly version: string;
  readonly image: string;
  readonly busybox: string;
  /** Module files, each after those that it depends on. */
  readonly modules: readonly string[];
}

/** The guest's kernel and userland: unpacked in `cache`, downloaded from Debian's archive when they are not there yet. */
export async function obtainKernel(cache: string, deadline: Deadline, onProgress: OnProgress): Promise<GuestKernel> {
  const folder = join(cache, 'kernel');
  const ready = await readKernel(folder);
  if (ready !== undefined) return ready;
  await download(folder, deadline, onProgress);
  const kernel = await readKernel(folder);
  if (kernel === undefined)
    throw new WorkcellError(
      'driver_unavailable',
      `The packages ${KERNEL_PACKAGE} and ${BUSYBOX_PACKAGE} do not hold a kernel and busybox`,
    );
  return kernel;
}

async function readKernel(folder: string): Promise<GuestKernel | undefined> {
  const boot = await readdir(join(folder, 'boot')).catch(() => []);
  const image = boot.find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) return undefined;
  const version = image.slice('vmlinuz-'.length);
  const modules = await orderModules(join(folder, 'lib', 'modules', version), MODULES);
  const merged = await stat(join(folder, 'usr', 'bin', 'busybox')).catch(() => undefined);
  const bin = merged === undefined ? 'bin' : 'usr/bin';
  return { version, image: join(folder, 'boot', image), busybox: join(folder, bin, 'busybox'), modules };
}

async function download(folder: string, deadline: Deadline, onProgress: OnProgress): Promise<void> {
  try {
    const { stdout } = await run('apt-cache', ['depends', KERNEL_PACKAGE], { signal: deadline.signal });
    const exact = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
    if (exact === undefined) throw new Error(`apt knows no ${KERNEL_PACKAGE}; run apt-get update as root first`);
    await publishFolder(folder, async (staging) => {
      onProgress(`downloading ${exact} and ${BUSYBOX_PACKAGE}`);
      await run('apt-get', ['download', exact, BUSYBOX_PACKAGE], { cwd: staging, signal: deadline.signal });
      onProgress('unpacking the guest kernel');
      for (const name of await readdir(staging)) {
        await run('dpkg-deb', ['-x', join(staging, name), join(staging, 'root')], { signal: deadline.signal });
      }
      return join(staging, 'root');
    });
  } catch (error) {
    deadline.check();
    throw new WorkcellError('driver_unavailable', `Cannot download the guest kernel: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** The wanted modules and all that they depend on, in loading order. The files themselves say what they need. */
export async function orderModules(folder: string, wanted: readonly string[]): Promise<string[]> {
  const files = new Map<string, string>();
  for (const entry of await readdir(join(folder, 'kernel'), { recursive: true })) {
    const name = /^(.*)\.ko(\.xz)?$/.exec(basename(entry))?.[1];
    if (name !== undefined) files.set(canonical(name), join(folder, 'kernel', entry));
  }
  const ordered: string[] = [];
  const visit = async (name: string): Promise<void> => {
    const file = files.get(canonical(name));
    // Absent ones are built into the kernel.
    if (file === undefined || ordered.includes(file)) return;
    for (const needed of dependenciesOf(await readModule(file))) await visit(needed);
    if (!ordered.includes(file)) ordered.push(file);
  };
  for (const name of wanted) await visit(name);
  return ordered;
}

/** The bytes of a module, unpacked. */
export async function readModule(file: string): Promise<Buffer> {
  if (!file.endsWith('.xz')) return readFile(file);
  const { stdout } = await run('xz', ['-dc', file], { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

function dependenciesOf(module: Buffer): string[] {
  const key = Buffer.from('\0depends=');
  const at = module.indexOf(key);
  if (at < 0) return [];
  const end = module.indexOf(0, at + key.length);
  return module
    .toString('latin1', at + key.length, end)
    .split(',')
    .filter(Boolean);
}

function canonical(name: string): string {
  return name.replaceAll('-', '_');
}
