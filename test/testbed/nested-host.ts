import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { CpioArchive, INIT_HEAD, moduleName, ROOT_BASICS } from '../../src/sandbox/drivers/qemu/initramfs.ts';
import { type GuestKernel, obtainKernel, orderModules, readModule } from '../../src/sandbox/drivers/qemu/kernel.ts';
import { Deadline } from '../../src/util/deadline.ts';
import { findCommand } from '../../src/util/find-command.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { serveHost } from './host-share.ts';

export interface NestedHostOptions {
  /** Where the guest kernel is kept. */
  readonly cache: string;
  /** Folders of this machine that are there under the same path, read-only. */
  readonly folders: readonly string[];
  /** Shell text that runs as root; its standard output is what {@link NestedHost.lines} gives. */
  readonly script: string;
  /** Whether our own standard input is that of `/dev/ttyS1`. */
  readonly interactive: boolean;
  readonly timeoutMs: number;
}

/** A machine in which KVM works: this machine's own programs, on an emulated processor with AMD's virtualisation. */
export interface NestedHost extends AsyncDisposable {
  /** What the script says, until the machine has switched itself off. */
  readonly lines: AsyncIterable<string>;
  /** The end of what its kernel said. */
  console(): Promise<string>;
}

const run = promisify(execFile);

const MEMORY_MIB = 3072;
const DISK_BYTES = 8 * 1024 ** 3;
/** What costs most in emulation: looking at the clock through a device, small pages, and defences of the real processor. */
const FASTER = [
  'tsc=reliable',
  'clocksource=tsc',
  'transparent_hugepage=always',
  'mitigations=off',
  'nowatchdog',
  'kvm.halt_poll_ns=0',
];
const MODULES = ['virtiofs', 'virtio_pci', 'virtio_blk', 'overlay', 'loop', 'irqbypass', 'kvm', 'kvm_amd'];

/**
 * Boots the machine. Its `/usr` is this machine's, through virtiofs; what it writes goes to a disk of its own, which is ext4
 * because Microsandbox keeps the owners of a guest's files in extended attributes.
 */
export async function bootNestedHost(options: NestedHostOptions): Promise<NestedHost> {
  await using undo = new AsyncDisposableStack();
  const folder = undo.use(await tempFolder()).path;
  using deadline = new Deadline('Booting the nested host', options.timeoutMs);
  const kernel = await obtainKernel(join(options.cache, 'qemu'), deadline, () => {});
  const initramfs = join(folder, 'initramfs.cpio');
  await writeInitramfs(kernel, options, initramfs);
  const disk = join(folder, 'disk.img');
  await makeDisk(disk);
  const qemu = await findCommand('qemu-system-x86_64');
  if (qemu === undefined) throw new Error('QEMU is needed; run workcell setup');
  const share = undo.use(await serveHost(folder, options.folders, deadline));
  const console = join(folder, 'console.log');
  const parts = { kernel: kernel.image, initramfs, disk, console, socket: share.socket, khz: await clockKhz() };
  const command = [qemu, ...machineArguments(parts)];
  const machine = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], {
    stdio: [options.interactive ? 'inherit' : 'ignore', 'pipe', 'ignore'],
    detached: true,
  });
  const exited = once(machine, 'exit');
  undo.defer(async () => {
    machine.kill('SIGKILL');
    await exited;
  });
  const owned = undo.move();
  return {
    lines: createInterface({ input: machine.stdout, crlfDelay: Number.POSITIVE_INFINITY }),
    console: async () => (await readFile(console, 'utf8')).slice(-4_000),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface MachineParts {
  readonly kernel: string;
  readonly initramfs: string;
  readonly disk: string;
  readonly console: string;
  /** Of the share. */
  readonly socket: string;
  /** Of {@link clockKhz}. */
  readonly khz: number | undefined;
}

/**
 * How fast the clock of this machine's processor goes, which is that of the emulated one; undefined where it is not known.
 *
 * The nested kernel would measure it, and get it wrong by a factor when this machine holds it up meanwhile. In a virtual machine
 * the frequency that Linux shows is that of this clock; elsewhere it is what the processor runs at just now.
 */
async function clockKhz(): Promise<number | undefined> {
  const text = await readFile('/proc/cpuinfo', 'utf8');
  const [, mhz] = /^cpu MHz\s*: (\d+\.\d+)$/m.exec(text) ?? [];
  const isSteady = ['hypervisor', 'constant_tsc'].every((flag) =>
    new RegExp(`^flags\\s*:.* ${flag}( |$)`, 'm').test(text),
  );
  return isSteady && mhz !== undefined ? Math.round(Number(mhz) * 1000) : undefined;
}

/** A script's words come out of the second serial port, which is QEMU's standard output. */
function machineArguments({ kernel, initramfs, disk, console, socket, khz }: MachineParts): string[] {
  const clock = khz === undefined ? [] : [`tsc_early_khz=${khz}`];
  return [
    ...['-name', 'workcell-testbed', '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-M', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'EPYC,+svm', '-smp', '2', '-m', String(MEMORY_MIB)],
    ...['-object', `memory-backend-memfd,id=memory,size=${MEMORY_MIB}M,share=on`, '-numa', 'node,memdev=memory'],
    ...['-kernel', kernel, '-initrd', initramfs],
    ...['-append', `console=ttyS0 quiet panic=-1 reboot=t random.trust_cpu=on ${[...FASTER, ...clock].join(' ')}`],
    ...['-chardev', `file,id=console,path=${console}`, '-serial', 'chardev:console'],
    ...['-chardev', 'stdio,id=report,signal=off', '-serial', 'chardev:report'],
    ...['-drive', `file=${disk},if=none,id=disk,format=raw,cache=unsafe`, '-device', 'virtio-blk-pci,drive=disk'],
    ...['-chardev', `socket,id=share,path=${socket}`],
    ...['-device', `vhost-user-fs-pci,chardev=share,tag=host`],
  ];
}

async function makeDisk(path: string): Promise<void> {
  await run('/sbin/mke2fs', ['-q', '-t', 'ext4', '-E', 'lazy_itable_init=1', path, `${DISK_BYTES / 1024 ** 2}M`]);
}

async function writeInitramfs(kernel: GuestKernel, options: NestedHostOptions, path: string): Promise<void> {
  const modulesFolder = join(dirname(dirname(kernel.image)), 'lib', 'modules', kernel.version);
  const modules = await orderModules(modulesFolder, MODULES);
  const archive = new CpioArchive();
  for (const name of ['bin', 'lib', 'proc', 'sys', 'dev', 'view', 'newroot']) archive.folder(name);
  archive.file('bin/busybox', await readFile(kernel.busybox), 0o755);
  for (const module of modules) archive.file(`lib/${moduleName(module)}`, await readModule(module), 0o644);
  archive.file('script', Buffer.from(`${options.script}\n`), 0o755);
  archive.file('init', Buffer.from(initScript(modules.map(moduleName), options.folders)), 0o755);
  await writeFile(path, archive.end());
}

function initScript(modules: readonly string[], folders: readonly string[]): string {
  const binds = folders.map((path) => `$bb mkdir -p ".${path}"; $bb mount --bind "/view${path}" ".${path}"`);
  return `${INIT_HEAD}for module in ${modules.join(' ')}; do
  case $module in kvm.ko) options=halt_poll_ns=0 ;; *) options= ;; esac
  $bb insmod /lib/$module $options
done
$bb mount -t virtiofs host /view
$bb mount -t ext4 /dev/vda /newroot
cd /newroot
$bb mkdir -p proc sys dev etc/alternatives run root usr
$bb mkdir -p -m 1777 tmp var/tmp
$bb mount -t tmpfs run run
$bb mount --bind /view/usr usr
$bb mount -t tmpfs local usr/local
$bb mkdir usr/local/sbin
$bb cp $bb usr/local/sbin/busybox
$bb mount --bind /view/etc/alternatives etc/alternatives
for link in bin sbin lib lib32 lib64 libx32; do
  [ -L /view/$link ] && $bb ln -s "$($bb readlink /view/$link)" $link
done
${binds.join('\n')}
${ROOT_BASICS}$bb hostname testbed
$bb ifconfig lo 127.0.0.1 up
$bb cp /script script
$bb stty -F dev/ttyS1 raw -echo
$bb chroot . /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb /bin/sh /script < dev/null > dev/ttyS1 2>&1
$bb sync
$bb poweroff -f
`;
}
