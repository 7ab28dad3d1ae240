/**
 * The file system of one machine monitor, and of whatever else of Microsandbox runs here.
 *
 * What it defends: the other customers' files, and the host. libkrun serves a guest's files from within the machine monitor
 * and says itself that this is no boundary: whoever breaks out of the guest is that process. So the process gets a root of
 * its own that holds the system's programs, read-only, and what belongs to this one guest. It has its own process ids, its
 * own network (an empty one, unless a policy opens one), none of root's rights but those over file owners and modes, no way
 * to new ones, and an empty environment.
 */
import type { HostPart } from '../../driver-kit/host-image.ts';
import { quote, READ_ONLY, WRITABLE } from '../../driver-kit/mount-options.ts';
import type { MicrosandboxInstall } from './install.ts';
import { bind, bindPrograms } from './mount-script.ts';

/** Where things lie in the jail. */
export const JAIL = {
  home: '/msb',
  config: '/msb/guest.json',
  /** What msb says while it boots. */
  log: '/msb/boot.log',
  /** Appears when the guest is up. */
  ready: '/msb/ready',
  /** What msb starts as the machine monitor, when that is not to have all of its environment. */
  monitor: '/msb/monitor',
  image: '/image/root',
  disk: '/msb/disk',
  mount: (index: number): string => `/mounts/${index}`,
} as const;

export interface JailOptions {
  readonly install: MicrosandboxInstall;
  /** Of the host, read-only. */
  readonly programs: readonly HostPart[];
  /** An empty folder of the host, where the jail is put together. */
  readonly root: string;
  /** The folder of the host that is {@link JAIL.home}. */
  readonly home: string;
  /** Whether the host's network can be reached. */
  readonly network: boolean;
  /** What else there is: lines of shell that run in the jail's root, as root of the host. */
  readonly contents: readonly string[];
  /** Lines of shell that run in the finished jail. */
  readonly commands: readonly string[];
}

/** Rights that serving files of other owners takes. Not CAP_DAC_READ_SEARCH: it opens files by handle, outside of any jail. */
const CAPABILITIES = '-all,+dac_override,+fowner';
/** The loader's cache, and what resolving names and checking certificates takes. */
const ETC = ['ld.so.cache', 'nsswitch.conf', 'hosts', 'resolv.conf', 'ssl', 'ca-certificates'];
const DEVICES = ['null', 'zero', 'random', 'urandom', 'kvm'];

/** The command that runs in a jail; whatever is left of it goes with its first process. */
export function jailCommand(options: JailOptions): [string, ...string[]] {
  return [
    'unshare',
    ...['--mount', '--pid', '--ipc', '--uts', ...(options.network ? [] : ['--net']), '--fork', '--kill-child'],
    ...['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'sh', '-euc', assembly(options)],
  ];
}

function assembly({ install, programs, root, home, contents, commands }: JailOptions): string {
  return [
    `mount -t tmpfs -o mode=0755,nosuid,nodev,size=4m jail ${quote(root)}`,
    `cd ${quote(root)}`,
    'mkdir old proc dev dev/shm etc tmp msb runtime',
    ...bindPrograms(programs, ETC),
    ...bind(install.folder, 'runtime', READ_ONLY),
    ...DEVICES.map((name) => `touch dev/${name}; mount --bind /dev/${name} dev/${name}`),
    'mount -t tmpfs -o nosuid,nodev,size=64m shm dev/shm',
    ...bind(home, 'msb', WRITABLE),
    // Not a tmpfs: msb wants extended attributes in its temporary folders, which many kernels have no tmpfs with.
    'mkdir msb/tmp',
    ...bind('msb/tmp', 'tmp', WRITABLE),
    ...contents,
    'mount -t proc -o ro,nosuid,nodev,noexec proc proc',
    'mount -o remount,ro,nosuid,nodev .',
    'pivot_root . old',
    'cd /',
    'umount -l old',
    `exec setpriv --bounding-set=${CAPABILITIES} --inh-caps=-all --ambient-caps=-all --no-new-privs \\`,
    `  env ${Object.entries(environment(install))
      .map(([key, value]) => `${key}=${quote(value)}`)
      .join(' ')} \\`,
    `  sh -euc ${quote(commands.join('\n'))}`,
  ].join('\n');
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
