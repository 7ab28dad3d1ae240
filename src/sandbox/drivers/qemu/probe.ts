import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { arch, platform, userInfo } from 'node:os';
import { promisify } from 'node:util';
import { findCommand, versionOf } from '../../../util/find-command.ts';
import type { DriverProbe, DriverProblem } from '../../driver.ts';
import { missing, missingCommands } from '../../driver-kit/driver-problems.ts';
import { hasKvm } from '../../driver-kit/kvm.ts';
import { findVirtiofsd, type VirtiofsdFlavour } from './host-tools.ts';
import type { Accelerator } from './machine.ts';

/** What was found on this host; complete only when the probe reports no problem. */
export interface QemuHost {
  readonly accelerator: Accelerator;
  readonly qemu: string;
  readonly qemuVersion: string;
  readonly virtiofsd: { readonly path: string; readonly flavour: VirtiofsdFlavour };
}

export interface QemuProbe extends DriverProbe {
  readonly host: QemuHost | undefined;
}

/** Commands beside QEMU and virtiofsd, and the Debian package of each. */
const COMMANDS: Readonly<Record<string, string>> = {
  unshare: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  mke2fs: 'e2fsprogs',
  ldd: 'libc-bin',
  cp: 'coreutils',
  'apt-get': 'apt',
  'dpkg-deb': 'dpkg',
};

const run = promisify(execFile);

/** Looks for everything that a guest needs here; every reason against comes with what to do. Never throws. */
export async function probeQemu(): Promise<QemuProbe> {
  const accelerator: Accelerator = (await hasKvm()) ? 'kvm' : 'tcg';
  const isolation = accelerator === 'kvm' ? 'hardware' : 'emulated';
  if (platform() !== 'linux' || arch() !== 'x64') {
    const what = `This machine is ${platform()} ${arch()}`;
    return { ready: false, isolation, facts: {}, host: undefined, problems: [{ what, fix: 'Use Linux on x86-64' }] };
  }
  const problems: DriverProblem[] = [];
  const qemu = await findCommand('qemu-system-x86_64');
  if (qemu === undefined) problems.push(missing('QEMU', 'qemu-system-x86'));
  const virtiofsd = await findVirtiofsd();
  if (virtiofsd === undefined) problems.push(missing('virtiofsd', await virtiofsdPackage()));
  problems.push(...(await missingCommands(COMMANDS)), ...(await userProblems()));
  const qemuVersion = qemu === undefined ? '' : await versionOf(qemu);
  const host =
    qemu === undefined || virtiofsd === undefined ? undefined : { accelerator, qemu, qemuVersion, virtiofsd };
  return {
    ready: problems.length === 0,
    isolation,
    problems,
    host,
    facts: await facts(accelerator, qemuVersion, virtiofsd?.path),
  };
}

/** Debian 12 ships it with QEMU, later ones as a package of its own. */
async function virtiofsdPackage(): Promise<string> {
  const { stdout } = await run('apt-cache', ['policy', 'virtiofsd']).catch(() => ({ stdout: '' }));
  return /Candidate: (?!\(none\))/.test(stdout) ? 'virtiofsd' : 'qemu-system-common';
}

/** Without root, mounting and serving files needs user namespaces and a range of subordinate ids. */
async function userProblems(): Promise<DriverProblem[]> {
  if (process.getuid?.() === 0) return [];
  const problems: DriverProblem[] = [];
  const { username, uid } = userInfo();
  if ((await findCommand('newuidmap')) === undefined) problems.push(missing('newuidmap', 'uidmap'));
  for (const file of ['/etc/subuid', '/etc/subgid']) {
    const ranges = await readFile(file, 'utf8').catch(() => '');
    if (ranges.split('\n').some((line) => line.startsWith(`${username}:`) || line.startsWith(`${uid}:`))) continue;
    const range = file === '/etc/subuid' ? '--add-subuids' : '--add-subgids';
    problems.push({
      what: `User ${username} has no range in ${file}, which the file server needs when it does not run as root`,
      fix: `Run as root: usermod ${range} 100000-165535 ${username}`,
    });
  }
  if (problems.length > 0) return problems;
  try {
    await run('unshare', ['--user', '--map-root-user', '--map-auto', '--mount', 'true'], { timeout: 5_000 });
    return [];
  } catch {
    const fix =
      'Allow them (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), or run as root';
    return [{ what: `User ${username} may not make user namespaces`, fix }];
  }
}

async function facts(
  accelerator: Accelerator,
  qemu: string,
  virtiofsd: string | undefined,
): Promise<Record<string, string>> {
  return {
    accelerator:
      accelerator === 'kvm' ? 'kvm' : 'tcg (this CPU offers no hardware virtualisation, or /dev/kvm is not usable)',
    qemu: qemu || 'missing',
    virtiofsd: virtiofsd ?? 'missing',
  };
}
