/**
 * The file system of one machine monitor.
 *
 * What it defends: the other customers' files, and the host. libkrun serves a guest's files from within the machine monitor
 * and says itself that this is no boundary: whoever breaks out of the guest is that process. So the process gets a root of
 * its own that holds the system's programs, read-only, and what belongs to this one guest. It has its own process ids, its
 * own network (an empty one, unless a policy opens one), none of root's rights but those over file owners and modes, no way
 * to new ones, and an empty environment.
 */
import { lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestSpec, MountOptions } from '../../driver.ts';
import type { MicrosandboxInstall } from './install.ts';

/** Where things lie in the jail. */
export const JAIL = {
  home: '/msb',
  config: '/msb/guest.json',
  /** What msb says while it boots. */
  log: '/msb/boot.log',
  /** Appears when the guest is up. */
  ready: '/msb/ready',
  image: '/image/root',
  disk: '/msb/disk',
  mount: (index: number): string => `/mounts/${index}`,
} as const;

export interface JailOptions {
  readonly spec: GuestSpec;
  readonly install: MicrosandboxInstall;
  /** The guest's private folder on the host: `root/` (where the jail is put together), `home/`, `layers/`. */
  readonly folder: string;
  /** Of an OCI image: folder of its layers. */
  readonly layers?: string;
  /** What `msb create` gets beside the configuration. */
  readonly flags: readonly string[];
}

/** Rights that serving files of other owners takes. Not CAP_DAC_READ_SEARCH: it opens files by handle, outside of any jail. */
const CAPABILITIES = '-all,+dac_override,+fowner';
const SYSTEM_FOLDERS = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
/** The loader's cache, and what resolving names and checking certificates takes. */
const SYSTEM_FILES = [
  'etc/ld.so.cache',
  'etc/nsswitch.conf',
  'etc/hosts',
  'etc/resolv.conf',
  'etc/ssl',
  'etc/ca-certificates',
  'etc/alternatives',
];
const DEVICES = ['null', 'zero', 'random', 'urandom', 'kvm'];

/** The command that boots the guest and runs for as long as it does; whatever is left of it goes with its first process. */
export async function jailCommand(options: JailOptions): Promise<[string, ...string[]]> {
  const network = options.spec.network === undefined ? ['--net'] : [];
  return [
    'unshare',
    ...['--mount', '--pid', '--ipc', '--uts', ...network, '--fork', '--kill-child'],
    ...['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'sh', '-euc', await assembly(options)],
  ];
}

async function assembly({ spec, install, folder, layers, flags }: JailOptions): Promise<string> {
  const root = join(folder, 'root');
  return [
    `mount -t tmpfs -o mode=0755,nosuid,nodev,size=4m jail ${quote(root)}`,
    `cd ${quote(root)}`,
    'mkdir old proc dev dev/shm etc tmp msb mounts image layers runtime',
    ...(await systemCommands()),
    ...bind(install.folder, 'runtime', READ_ONLY),
    ...DEVICES.map((name) => `touch dev/${name}; mount --bind /dev/${name} dev/${name}`),
    'mount -t tmpfs -o nosuid,nodev,size=64m shm dev/shm',
    'mount -t tmpfs -o nosuid,nodev,size=64m tmp tmp',
    ...bind(join(folder, 'home'), 'msb', WRITABLE),
    ...bind(join(folder, 'layers'), 'layers', WRITABLE),
    ...(layers === undefined ? [] : overlay(layers, 'msb/cache')),
    ...imageCommands(spec),
    ...spec.mounts.flatMap(volumeCommands),
    'mount -t proc -o ro,nosuid,nodev,noexec proc proc',
    'mount -o remount,ro,nosuid,nodev .',
    'pivot_root . old',
    'cd /',
    'umount -l old',
    `exec setpriv --bounding-set=${CAPABILITIES} --inh-caps=-all --ambient-caps=-all --no-new-privs \\`,
    `  env ${Object.entries(environment(install))
      .map(([key, value]) => `${key}=${quote(value)}`)
      .join(' ')} \\`,
    `  sh -euc ${quote(bootCommands(install, flags).join('\n'))}`,
  ].join('\n');
}

/** Runs in the jail. The lock is what the machine monitor holds for as long as it lives, however it ends. */
function bootCommands(install: MicrosandboxInstall, flags: readonly string[]): string[] {
  return [
    `exec >${JAIL.log} 2>&1`,
    `/runtime/${install.msb} create --quiet --name guest --conf ${JAIL.config} ${flags.map(quote).join(' ')}`,
    // It holds the environment of the guest's programs.
    `rm ${JAIL.config}`,
    `touch ${JAIL.ready}`,
    `exec flock ${JAIL.home}/run/locks/*.lock true`,
  ];
}

function environment(install: MicrosandboxInstall): Record<string, string> {
  return {
    HOME: JAIL.home,
    MSB_HOME: JAIL.home,
    MSB_BACKEND: 'local',
    MSB_PATH: `/runtime/${install.msb}`,
    MSB_LIBKRUNFW_PATH: `/runtime/${install.libkrunfw}`,
    // The configuration file replaces ${NAME}, and knows no way to write "${" itself.
    [DOLLAR]: '$',
  };
}

/** A variable of the jail whose value is a dollar sign. */
export const DOLLAR = 'WORKCELL_DOLLAR';

async function systemCommands(): Promise<string[]> {
  const commands: string[] = [];
  for (const name of SYSTEM_FOLDERS) {
    const stat = await lstat(`/${name}`).catch(() => undefined);
    if (stat?.isSymbolicLink() === true) commands.push(`ln -s ${quote(await readlink(`/${name}`))} ${name}`);
    else if (stat?.isDirectory() === true) commands.push(...bind(`/${name}`, name, READ_ONLY));
  }
  for (const name of SYSTEM_FILES) {
    const path = `/${name}`;
    commands.push(`if [ -d ${path} ]; then mkdir -p ${name}; elif [ -e ${path} ]; then touch ${name}; fi`);
    commands.push(`if [ -e ${path} ]; then mount --bind ${path} ${name}; ${remount(name, READ_ONLY)}; fi`);
  }
  return commands;
}

/** The guest writes into its image; each gets a layer of its own over it. */
function imageCommands({ image, workdir }: GuestSpec): string[] {
  if (image.kind !== 'directory') return [];
  const root = JAIL.image.slice(1);
  // What programs start in is there in every image; a link of the image's own stays as it is.
  return [...overlay(image.path, root), `[ -e ${quote(root + workdir)} ] || mkdir -p ${quote(root + workdir)}`];
}

/** Shows the folder `source` at `target`; what is written there goes to the guest's own folder. */
function overlay(source: string, target: string): string[] {
  const layer = `layers/${target.replaceAll('/', '-')}`;
  return [
    ...bind(source, `lower/${target}`, READ_ONLY),
    `mkdir -p ${layer}/upper ${layer}/work ${target}`,
    `mount -t overlay -o nosuid,nodev,lowerdir=lower/${target},upperdir=${layer}/upper,workdir=${layer}/work overlay ${target}`,
  ];
}

function volumeCommands(mount: GuestSpec['mounts'][number], index: number): string[] {
  if (mount.kind === 'tmpfs') return [];
  const target = JAIL.mount(index).slice(1);
  // Device nodes and set-user-id files of a guest are never honoured on the host's side, whatever was asked for.
  const options = { ...mount.options, nodev: true, nosuid: true };
  if (mount.capacityImage === undefined) return bind(mount.path, target, options);
  const flags = flagsOf(options).join(',');
  return [
    `mkdir -p ${target}`,
    `if mountpoint -q ${quote(mount.path)}; then mount --bind ${quote(mount.path)} ${target}; ${remount(target, options)}`,
    `else mount -o loop,${flags} ${quote(mount.capacityImage)} ${target}; fi`,
  ];
}

const READ_ONLY: MountOptions = { readonly: true, nosuid: true, nodev: true, noexec: false };
const WRITABLE: MountOptions = { ...READ_ONLY, readonly: false };

function bind(source: string, target: string, options: MountOptions): string[] {
  return [`mkdir -p ${target}`, `mount --bind ${quote(source)} ${target}`, remount(target, options)];
}

function remount(target: string, options: MountOptions): string {
  return `mount -o ${['remount', 'bind', ...flagsOf(options)].join(',')} ${target}`;
}

function flagsOf(options: MountOptions): string[] {
  return [
    options.readonly ? 'ro' : 'rw',
    ...(options.nodev ? ['nodev'] : []),
    ...(options.nosuid ? ['nosuid'] : []),
    ...(options.noexec ? ['noexec'] : []),
  ];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
