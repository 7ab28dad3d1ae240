import { execFile } from 'node:child_process';
import { arch, platform } from 'node:os';
import { promisify } from 'node:util';
import { messageOf } from '../../../core/errors.ts';
import { findCommand, versionOf } from '../../../util/find-command.ts';
import type { DriverProbe, DriverProblem } from '../../driver.ts';
import { busyboxProblems, missingCommands } from '../../driver-kit/driver-problems.ts';
import { type Controller, usableControllers } from './cgroup.ts';

/** What was found on this host; complete only when the probe reports no problem. */
export interface BubblewrapHost {
  readonly bwrap: string;
  readonly setpriv: string;
  readonly taskset: string;
  readonly unshare: string;
  readonly shell: string;
  readonly busybox: string;
}

export interface BubblewrapProbe extends DriverProbe {
  readonly host: BubblewrapHost | undefined;
}

/** Commands, and the Debian package of each. */
const COMMANDS = {
  bwrap: 'bubblewrap',
  setpriv: 'util-linux',
  taskset: 'util-linux',
  unshare: 'util-linux',
  mount: 'mount',
  sh: 'dash',
  ldd: 'libc-bin',
} as const;

const TRIAL = [
  ...['--unshare-user', '--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', '--cap-drop', 'ALL'],
  ...['--die-with-parent', '--new-session', '--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev'],
  ...['--perms', '0700', '--size', '65536', '--tmpfs', '/tmp', '--remount-ro', '/dev'],
];

const run = promisify(execFile);

/** Looks for everything that a guest needs here; every reason against comes with what to do. Never throws. */
export async function probeBubblewrap(): Promise<BubblewrapProbe> {
  const isolation = 'process';
  if (platform() !== 'linux' || (arch() !== 'x64' && arch() !== 'arm64')) {
    const what = `This machine is ${platform()} ${arch()}`;
    const fix = 'Use Linux on x86-64 or 64-bit ARM';
    return { ready: false, isolation, facts: {}, host: undefined, problems: [{ what, fix }] };
  }
  const programs = ['bwrap', 'setpriv', 'taskset', 'unshare', 'sh', 'busybox'];
  const [bwrap, setpriv, taskset, unshare, shell, busybox] = await Promise.all(programs.map(findCommand));
  const controllers = await usableControllers().catch(() => []);
  const problems = [
    ...(await missingCommands(COMMANDS)),
    ...(await busyboxProblems(busybox)),
    ...(bwrap === undefined ? [] : await trialProblems(bwrap)),
    ...limitProblems(controllers),
  ];
  const host =
    bwrap && setpriv && taskset && unshare && shell && busybox
      ? { bwrap, setpriv, taskset, unshare, shell, busybox }
      : undefined;
  const facts = {
    bubblewrap: bwrap === undefined ? 'missing' : await versionOf(bwrap),
    limits: `${controllers.join(', ') || 'nothing'} by control group, the rest by resource limits and watching`,
  };
  return { ready: problems.length === 0, isolation, problems, host, facts };
}

/** Only trying tells whether this user may make namespaces, and whether bubblewrap is new enough. */
async function trialProblems(bwrap: string): Promise<DriverProblem[]> {
  try {
    await run(bwrap, [...TRIAL, '--', '/bin/true'], { timeout: 10_000 });
    return [];
  } catch (error) {
    const fix =
      'Allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0); bubblewrap must be 0.8 or later';
    return [{ what: `bubblewrap cannot make a guest here (${messageOf(error).split('\n').at(-2) ?? ''})`, fix }];
  }
}

/** The kernel holds root of the host to no number of processes, so only a control group can. */
function limitProblems(controllers: readonly Controller[]): DriverProblem[] {
  if (process.getuid?.() !== 0 || controllers.includes('pids')) return [];
  return [
    {
      what: 'The number of processes cannot be limited: this is root, and no control group with "pids" can be made',
      fix: 'Run as an ordinary user, or where cgroups can be written to (systemd: Delegate=yes)',
    },
  ];
}
