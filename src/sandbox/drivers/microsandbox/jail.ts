/**
 * The file system of one machine monitor.
 *
 * What it defends: the other customers' files, and the host. libkrun serves a guest's files from within the machine monitor
 * and says itself that this is no boundary: whoever breaks out of the guest is that process. So the process gets a root of
 * its own that holds the system's programs, read-only, and what belongs to this one guest. It has its own process ids, its
 * own network (an empty one, unless a policy opens one), none of root's rights but those over file owners and modes, no way
 * to new ones, and an empty environment.
 */
import { join } from 'node:path';
import type { GuestSpec } from '../../driver.ts';
import type { MicrosandboxInstall } from './install.ts';
import { bind, bindPrograms, overlay, type ProgramFolder, quote, READ_ONLY, WRITABLE } from './mount-script.ts';

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
  readonly programs: readonly ProgramFolder[];
  /** The guest's private folder on the host: `root/` (where the jail is put together), `home/`, `layers/`. */
  readonly folder: string;
  /** Of an OCI image: folder of its layers. */
  readonly layers?: string;
  /** What `msb create` gets beside the configuration. */
  readonly flags: readonly string[];
}

/** Rights that serving files of other owners takes. Not CAP_DAC_READ_SEARCH: it opens files by handle, outside of any jail. */
const CAPABILITIES = '-all,+dac_override,+fowner';
/** The loader's cache, and what resolving names and checking certificates takes. */
const ETC = ['ld.so.cache', 'nsswitch.conf', 'hosts', 'resolv.conf', 'ssl', 'ca-certificates', 'alternatives'];
const DEVICES = ['null', 'zero', 'random', 'urandom', 'kvm'];

/** The command that boots the guest and runs for as long as it does; whatever is left of it goes with its first process. */
export function jailCommand(options: JailOptions): [string, ...string[]] {
  const network = options.spec.network === undefined ? ['--net'] : [];
  return [
    'unshare',
    ...['--mount', '--pid', '--ipc', '--uts', ...network, '--fork', '--kill-child'],
    ...['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'sh', '-euc', assembly(options)],
  ];
}

function assembly({ spec, install, programs, folder, layers, flags }: JailOptions): string {
  const root = join(folder, 'root');
  return [
    `mount -t tmpfs -o mode=0755,nosuid,nodev,size=4m jail ${quote(root)}`,
    `cd ${quote(root)}`,
    'mkdir old proc dev dev/shm etc tmp msb mounts image layers runtime',
    ...bindPrograms(programs, ETC),
    ...bind(install.folder, 'runtime', READ_ONLY),
    ...DEVICES.map((name) => `touch dev/${name}; mount --bind /dev/${name} dev/${name}`),
    'mount -t tmpfs -o nosuid,nodev,size=64m shm dev/shm',
    ...bind(join(folder, 'home'), 'msb', WRITABLE),
    // Not a tmpfs: msb wants extended attributes in its temporary folders, which many kernels have no tmpfs with.
    'mkdir msb/tmp',
    ...bind('msb/tmp', 'tmp', WRITABLE),
    ...bind(join(folder, 'layers'), 'layers', WRITABLE),
    ...(layers === undefined ? [] : overlay(layers, 'msb/cache', 'layers/cache')),
    ...imageCommands(spec, programs),
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

/** The guest writes into its image; each gets a layer of its own over it. */
function imageCommands({ image, workdir }: GuestSpec, programs: readonly ProgramFolder[]): string[] {
  const root = JAIL.image.slice(1);
  const start = startFolder(root, workdir);
  if (image.kind === 'directory') return [...overlay(image.path, root, 'layers/image'), ...start];
  if (image.kind !== 'host') return [];
  return [
    `mkdir -p layers/host ${root}`,
    `mount --bind layers/host ${root}`,
    // The folders themselves are mounts of the guest.
    ...programs.map(({ path, link }) =>
      link === undefined ? `mkdir ${root}${path}` : `ln -s ${quote(link)} ${root}${path}`,
    ),
    `mkdir -p ${root}/etc/alternatives ${root}/root ${root}/run ${root}/var`,
    `mkdir -m 1777 ${root}/tmp`,
    `echo ${quote(PASSWD)} >${root}/etc/passwd`,
    `echo ${quote(GROUP)} >${root}/etc/group`,
    `echo '127.0.0.1 localhost' >${root}/etc/hosts`,
    ...start,
  ];
}

/**
 * What programs start in is there in every image, when it lies at the top: on the way to anything deeper there may be links
 * of the image's own, which out here would lead into the host.
 */
function startFolder(root: string, workdir: string): string[] {
  if (!/^\/[^/]+$/.test(workdir)) return [];
  const path = quote(root + workdir);
  return [`[ -e ${path} ] || [ -L ${path} ] || mkdir ${path}`];
}

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin';
const GROUP = 'root:x:0:\nnogroup:x:65534:';

function volumeCommands(mount: GuestSpec['mounts'][number], index: number): string[] {
  if (mount.kind === 'tmpfs') return [];
  const target = JAIL.mount(index).slice(1);
  // Device nodes and set-user-id files of a guest are never honoured on the host's side, whatever was asked for.
  const options = { ...mount.options, nodev: true, nosuid: true };
  const commands = bind(mount.path, target, options);
  // The host has the image mounted there; without it nothing would bound what the guest writes.
  return mount.capacityImage === undefined ? commands : [`mountpoint -q ${quote(mount.path)}`, ...commands];
}
